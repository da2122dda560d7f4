"""Statistics of a folder of images, read from a cache where they were computed before."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from core.files import whole_file
from core.imaging.image_header import stated_bit_depth
from core.notices import notify, report
from fid.backbones.loading import Backbone
from fid.distances import Statistics
from fid.images import read_batches


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
    weights and the preprocessing. Where none can be left, there is a warning.

    Args:
        keep_features: keep all features, which KID and the judgement of few images need.
        title: of the progress bar.
    Raises:
        ValueError: a file cannot be read, or the cached one is damaged.
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
            report(f"{title}: {statistics.count} images' statistics from {cached}")
            return statistics
    # Not there, or only moments are where features are wanted: then the better entry replaces it.
    statistics = folder_statistics(
        paths, backbone, batch_size, num_workers, keep_features, title=title
    )
    try:
        if f"{_cache_key(paths, backbone)}.npz" != cached.name:
            raise OSError("files have changed meanwhile")
        with whole_file(cached) as temporary:  # several scores may run at once
            np.savez(temporary, **statistics.state())
    except OSError as error:  # the minutes of computing count more
        notify(f"statistics of {title} are not kept for the next score ({error})")
    return statistics


def _cache_key(paths, backbone):
    """Name of the entry, which changes with every file, the weights and the preprocessing."""
    # Sizes and times instead of contents: hashing a large set takes as long as reading it. Copying
    # may set the content's time back, but not that of the inode.
    files = [(str(path.resolve()), path.stat()) for path in paths]
    files = [(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in files]
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
