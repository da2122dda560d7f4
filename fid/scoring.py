"""Scores of two sets of images, from their folders to the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.options import OptionError, non_negative_int, option, positive_int
from fid.backbones.loading import BackboneOptions, load_backbone
from fid.distances import (
    SUBSET_COUNT,
    SUBSET_SEED,
    SUBSET_SIZE,
    Statistics,
    frechet_distance,
    kid,
    manifold_scores,
)
from fid.features import FeatureOptions, folder_statistics
from fid.images import check_nesting, read_folder
from fid.results import check_comparable, describe
from fid.scarce import FEW_IMAGES, report_scarcity


@dataclass(frozen=True)
class FidScoreOptions:
    """Which scores are computed from two sets of features."""

    compute_kid: bool = option(
        False,
        action="store_true",
        help=f"also KID; always computed when a set has fewer than {FEW_IMAGES} images",
    )
    kid_subset_size: int = option(
        SUBSET_SIZE, positive_int, "INT", "images per KID subset; fewer images are used all at once"
    )
    kid_subset_count: int = option(SUBSET_COUNT, positive_int, "INT", "KID subsets")
    compute_prdc: bool = option(
        False, action="store_true", help="also precision, recall, density and coverage"
    )
    bootstrap: int = option(
        100,
        non_negative_int,
        "INT",
        f"resamples for the interval of an FID from fewer than {FEW_IMAGES} images; "
        "0 leaves it out",
    )
    seed: int = option(SUBSET_SEED, non_negative_int, "INT", "seed of subsets and resamples")

    def check(self):
        """Raise OptionError for numbers of images or resamples that have no spread."""
        if self.kid_subset_size < 2:  # the kernel of an image with the other ones of its subset
            raise OptionError("kid_subset_size", f"{self.kid_subset_size}, expected at least 2")
        if self.bootstrap == 1:  # the interval would have no width
            raise OptionError("bootstrap", "1, expected at least 2, or 0 for no interval")

    def need_features(self, *counts: int) -> bool:
        """Whether sets of so many images must keep all features; else their moments do."""
        return self.compute_kid or self.compute_prdc or min(counts) < FEW_IMAGES


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


def score_folders(
    real_dir: Path,
    folders: Mapping[str, Path],
    network: BackboneOptions,
    reading: FeatureOptions,
    scores: FidScoreOptions,
    earlier: Mapping[str, dict] | None = None,
) -> dict[str, dict]:
    """Results of folders of generated images against one real set, by name.

    All files, and whether earlier results fit, are checked before the first folder is scored.

    Args:
        folders: generated images by name.
        earlier: results by name that will stand beside these.
    Raises:
        ValueError: an earlier result was made in another way.
        ValueError, FileNotFoundError, OSError, RuntimeError: see `check_nesting`, `read_folder`,
            `load_backbone` and `folder_statistics`.
    """
    # Checks take seconds and come first, features take minutes.
    for folder in folders.values():
        check_nesting(real_dir, folder)
    real_paths, real_skipped = read_folder(real_dir, reading.skip_corrupt)
    sets = {name: read_folder(path, reading.skip_corrupt) for name, path in folders.items()}
    backbone = load_backbone(network)
    made = describe(backbone) | {
        "real_dir": str(real_dir.resolve()),
        "num_real": len(real_paths),
    }
    # After loading: only the file says which constants normalise and what its SHA-256 is.
    check_comparable({"this table": made, **(earlier or {})})
    # 10,000 images of 2,048 features are 80 MB, so they are kept only where a score needs them. One
    # rule holds for all folders, or a table would have KIDs in some rows only.
    keep = scores.need_features(len(real_paths), *(len(paths) for paths, _ in sets.values()))
    shared = backbone, reading.batch_size, reading.num_workers, keep
    real = folder_statistics(real_paths, *shared, reading.cache, "real")
    results = {}
    for name, (paths, skipped) in sets.items():
        # Generated images are scored once, so the cache would only grow.
        generated = folder_statistics(paths, *shared, title=name)
        result = compare(real, generated, scores) | made
        result["timestamp_utc"] = datetime.now(UTC).isoformat()
        result["gen_dir"] = str(folders[name].resolve())
        if reading.skip_corrupt:
            result["num_skipped"] = real_skipped + skipped
        results[name] = result
    return results
