"""Scores of two sets of images, from their folders to the result."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.distances import (
    Statistics,
    frechet_distance,
    kid,
    manifold_scores,
)
from fid.features import folder_statistics
from fid.images import check_nesting, read_folder
from fid.options import FeatureOptions, FidScoreOptions
from fid.results import check_comparable, describe
from fid.scarce import FEW_IMAGES, report_scarcity


def compare(real: Statistics, generated: Statistics, options: FidScoreOptions) -> dict:
    """Scores of two sets as a result states them.

    With fewer than `FEW_IMAGES` images in a set, the result also says what the FID is worth. The
    sets must have kept their features where `options.need_features` says so.
    """
    result = {
        "fid": frechet_distance(real, generated),
        "num_real": real.count,
        "num_generated": generated.count,
    }
    # One small set is enough: the FID's bias grows with 1 / n of either.
    scarce = min(real.count, generated.count) < FEW_IMAGES
    if options.compute_kid or scarce:
        subsets = options.kid_subset_size, options.kid_subset_count, options.seed
        score = kid(real.features, generated.features, *subsets)
        result |= {"kid": score.value, "kid_std": score.standard_error}
        result |= {"kid_subset_size": score.subset_size, "kid_subset_count": score.subset_count}
    if options.compute_prdc:
        result |= manifold_scores(real.features, generated.features)
    if scarce:
        report = report_scarcity(real, generated, result["fid"], options.bootstrap, options.seed)
        result |= {"scarce": True} | report.fields()
    return result


class ImageSets(NamedTuple):
    """Files of one real folder and of folders of generated images, all of which can be read.

    Attributes:
        real_dir: the real folder.
        real: its files, and the number of those that were left out.
        folders: folders of generated images by name.
        generated: the same as `real` for each of them.
    """

    real_dir: Path
    real: tuple[list[Path], int]
    folders: Mapping[str, Path]
    generated: dict[str, tuple[list[Path], int]]


def read_sets(real_dir: Path, folders: Mapping[str, Path], skip_corrupt: bool) -> ImageSets:
    """The image files of all folders, checked; reports how many there are.

    Args:
        folders: generated images by name.
        skip_corrupt: see `fid.images.sound_images`.
    Raises:
        ValueError, FileNotFoundError: see `check_nesting` and `read_folder`.
    """
    for folder in folders.values():
        check_nesting(real_dir, folder)
    real = read_folder(real_dir, skip_corrupt)
    generated = {name: read_folder(path, skip_corrupt) for name, path in folders.items()}
    return ImageSets(real_dir, real, folders, generated)


def score_sets(
    sets: ImageSets,
    network: BackboneOptions,
    reading: FeatureOptions,
    scores: FidScoreOptions,
    earlier: Mapping[str, dict] | None = None,
) -> dict[str, dict]:
    """Results of all sets of generated images against the real one, by name.

    Whether earlier results fit is checked before the first set is scored.

    Args:
        earlier: results by name that will stand beside these.
    Raises:
        ValueError: an earlier result was made in another way.
        ValueError, FileNotFoundError, OSError, RuntimeError: see `load_backbone` and
            `folder_statistics`.
    """
    real_paths, real_skipped = sets.real
    backbone = load_backbone(network)
    made = describe(backbone) | {
        "real_dir": str(sets.real_dir.resolve()),
        "num_real": len(real_paths),
    }
    # After loading: only the file says which constants normalise and what its SHA-256 is.
    check_comparable({"this table": made, **(earlier or {})})
    # 10,000 images of 2,048 features are 80 MB, so they are kept only where a score needs them. One
    # rule holds for all folders, or a table would have KIDs in some rows only.
    counts = [len(paths) for paths, _ in (sets.real, *sets.generated.values())]
    keep = scores.need_features(*counts)
    shared = backbone, reading.batch_size, reading.num_workers, keep
    real = folder_statistics(real_paths, *shared, reading.cache, "real")
    results = {}
    for name, (paths, skipped) in sets.generated.items():
        # Generated images are scored once, so the cache would only grow.
        generated = folder_statistics(paths, *shared, title=name)
        result = compare(real, generated, scores) | made
        result["timestamp_utc"] = datetime.now(timezone.utc).isoformat()
        result["gen_dir"] = str(sets.folders[name].resolve())
        if reading.skip_corrupt:
            result["num_skipped"] = real_skipped + skipped
        results[name] = result
    return results
