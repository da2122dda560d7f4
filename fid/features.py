"""Statistics of a folder of images, read from a cache where they were computed before."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.files import whole_file
from core.image_header import stated_bit_depth
from core.options import non_negative_int, option, positive_int
from fid.backbones import Backbone
from fid.distances import Statistics
from fid.images import read_batches


def default_cache_dir() -> Path:
    """Folder of a user's caches: `$XDG_CACHE_HOME` or `~/.cache`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "natural2nanoscale" / "fid"


@dataclass(frozen=True)
class FeatureOptions:
    """Batches, workers and cache with which images are turned into features."""

    batch_size: int = option(32, positive_int, "INT", "images per pass through the network")
    num_workers: int = option(4, non_negative_int, "INT", "processes that read and resize images")
    skip_corrupt: bool = option(
        False,
        action="store_true",
        help="leave unreadable images out and count them, instead of stopping at the first",
    )
    cache_dir: Path | None = option(
        None,
        Path,
        "DIR",
        "where the statistics of real images are kept; natural2nanoscale/fid in the user's cache "
        "folder ($XDG_CACHE_HOME, ~/.cache) when not given",
    )
    no_cache: bool = option(
        False, action="store_true", help="compute them anew, keep nothing; --cache-dir is not used"
    )

    @property
    def cache(self) -> Path | None:
        """The folder of cached statistics, or None for no cache."""
        return None if self.no_cache else self.cache_dir or default_cache_dir()


def batch_statistics(
    backbone: Backbone, batches: Iterable[torch.Tensor], keep_features: bool = False
) -> Statistics:
    """Statistics of prepared images (N, C, size, size) (`backbone.preprocessing` prepares them)."""
    statistics = Statistics(keep_features)
    for batch in batches:
        statistics.update(backbone.features(batch))
    return statistics


def folder_statistics(
    paths: Sequence[Path],
    backbone: Backbone,
    batch_size: int = 32,
    num_workers: int = 0,
    keep_features: bool = False,
    cache_dir: Path | None = None,
    title: str = "images",
) -> Statistics:
    """Statistics of image files; with `cache_dir` taken from there, or computed and left there.

    A cached entry counts as long as these are the same: paths, sizes and times of the files, the
    weights and the preprocessing.

    Args:
        keep_features: keep all features, which KID and the judgement of few images need.
        title: of the progress bar.
    Raises:
        ValueError: a file cannot be read, or the cached one is damaged.
        OSError: the cache cannot be written.
    """
    if cache_dir is None:
        # Images are prepared by worker processes, batch by batch, while the network works.
        batches = read_batches(paths, backbone.preprocessing, batch_size, num_workers, title)
        return batch_statistics(backbone, batches, keep_features)
    # The key holds all that the statistics depend on, so an entry never has to be made anew.
    cached = cache_dir / f"{_cache_key(paths, backbone)}.npz"
    if cached.is_file():
        statistics = _read(cached, keep_features)
        if statistics is not None:
            print(f"{title}: {statistics.count} images' statistics from {cached}")
            return statistics
    # Not there, or only moments are where features are wanted: then the better entry replaces it.
    statistics = folder_statistics(
        paths, backbone, batch_size, num_workers, keep_features, title=title
    )
    cache_dir.mkdir(parents=True, exist_ok=True)
    with whole_file(cached) as temporary:  # several scores may run at once
        np.savez(temporary, **statistics.state())
    return statistics


def _cache_key(paths, backbone):
    """Name of the entry, which changes with every file, the weights and the preprocessing."""
    # Sizes and times instead of contents: hashing a large set takes as long as reading it.
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    made = [files, backbone.settings()]
    if bit_depth := stated_bit_depth():
        made.append(bit_depth)
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:32]


def _read(path, keep_features):
    """Statistics of a cache file; None where features are wanted and only moments are there."""
    try:
        with np.load(path, allow_pickle=False) as state:  # a pickle could run code
            return Statistics.from_state(dict(state), keep_features)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: a damaged cache file ({error}). Remove it.") from error
