"""Options of the scores: network, reading of images, what is computed."""

from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import OptionError, non_negative_int, option, positive_int
from core.user_cache import user_cache
from fid.distances import SUBSET_COUNT, SUBSET_SEED, SUBSET_SIZE
from fid.scarce import FEW_IMAGES


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
        return None if self.no_cache else self.cache_dir or user_cache("fid")


@dataclass(frozen=True)
class FidScoreOptions:
    """Scores that are computed from two sets of features."""

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
        """Tell whether sets of so many images must keep all features; else their moments do."""
        return self.compute_kid or self.compute_prdc or min(counts) < FEW_IMAGES
