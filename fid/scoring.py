"""Scores of two sets of images, from their folders to the result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.options import non_negative_int, option, positive_int
from fid.backbones.loading import BackboneOptions, load_backbone
from fid.distances import Statistics, frechet_distance, kid, manifold_scores
from fid.features import FolderOptions, folder_statistics
from fid.images import check_nesting, read_folder
from fid.results import check_comparable, describe
from fid.scarce import FEW_IMAGES, report_scarcity


@dataclass(frozen=True)
class ScoreOptions:
    """Which scores are computed from two sets of features."""

    compute_kid: bool = option(
        False,
        action="store_true",
        help=f"also KID; always computed when a set has fewer than {FEW_IMAGES} images",
    )
    kid_subset_size: int = option(
        1000, positive_int, "INT", "images per KID subset; fewer images are used all at once"
    )
    kid_subset_count: int = option(100, positive_int, "INT", "KID subsets")
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
    seed: int = option(42, non_negative_int, "INT", "of subsets and resamples")

    def need_features(self, *counts: int) -> bool:
        """Whether sets of so many images must keep all features; else their moments do."""
        return self.compute_kid or self.compute_prdc or min(counts) < FEW_IMAGES


def compare(real: Statistics, generated: Statistics, options: ScoreOptions) -> dict:
    """Scores of two sets as a result states them.

    With fewer than `FEW_IMAGES` images in a set, the result also says what the FID is worth. The
    sets must have kept their features where `options.need_features` says so.
    """
    result = {
        "fid": frechet_distance(real, generated),
        "num_real": real.count,
        "num_generated": generated.count,
    }
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
    generated_dir: Path,
    network: BackboneOptions,
    reading: FolderOptions,
    scores: ScoreOptions,
) -> dict:
    """The result of two folders: their scores, and everything that these rest on.

    The network is loaded once both folders are known to be sound.

    Raises:
        ValueError, FileNotFoundError, OSError, RuntimeError: see `check_nesting`, `read_folder`,
            `load_backbone` and `folder_statistics`.
    """
    # Checks take a second and come first, features take minutes.
    check_nesting(real_dir, generated_dir)
    sets = [read_folder(folder, reading.skip_corrupt) for folder in (real_dir, generated_dir)]
    (real_paths, _), (generated_paths, _) = sets
    backbone = load_backbone(network)
    # 10,000 images of 2,048 features are 80 MB, so they are kept only where a score needs them.
    keep = scores.need_features(len(real_paths), len(generated_paths))
    shared = backbone, reading.batch_size, reading.num_workers, keep
    real = folder_statistics(real_paths, *shared, reading.cache, "real")
    # Generated images are scored once, so the cache would only grow.
    generated = folder_statistics(generated_paths, *shared, title="generated")
    result = compare(real, generated, scores) | describe(backbone)
    result["timestamp_utc"] = datetime.now(UTC).isoformat()
    result |= {"real_dir": str(real_dir.resolve()), "gen_dir": str(generated_dir.resolve())}
    if reading.skip_corrupt:
        result["num_skipped"] = sum(skipped for _, skipped in sets)
    return result


def score_several(
    real_dir: Path,
    folders: dict[str, Path],
    network: BackboneOptions,
    reading: FolderOptions,
    scores: ScoreOptions,
    earlier: Mapping[str, dict],
) -> dict[str, dict]:
    """Results of several folders against one real set, by name.

    All files, and whether earlier results fit, are checked before the first folder is scored.

    Args:
        folders: generated images by name.
        earlier: results by name that will stand beside these.
    Raises:
        ValueError: an earlier result was made in another way.
        ValueError, FileNotFoundError, OSError, RuntimeError: as `score_folders`.
    """
    for folder in folders.values():
        check_nesting(real_dir, folder)
    real_paths, _ = read_folder(real_dir, reading.skip_corrupt)
    sets = {name: read_folder(path, reading.skip_corrupt)[0] for name, path in folders.items()}
    backbone = load_backbone(network)
    made = describe(backbone) | {
        "real_dir": str(real_dir.resolve()),
        "num_real": len(real_paths),
    }
    # After loading: only the file says which constants normalise and what its SHA-256 is.
    check_comparable({"this table": made, **earlier})
    # One rule for all folders, or the table would have KIDs in some rows only.
    keep = scores.need_features(len(real_paths), *map(len, sets.values()))
    shared = backbone, reading.batch_size, reading.num_workers, keep
    real = folder_statistics(real_paths, *shared, reading.cache, "real")
    results = {}
    for name, paths in sets.items():
        generated = folder_statistics(paths, *shared, title=name)
        results[name] = compare(real, generated, scores) | made
        results[name]["timestamp_utc"] = datetime.now(UTC).isoformat()
        results[name]["gen_dir"] = str(folders[name].resolve())
    return results
