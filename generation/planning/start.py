"""Real images that generated ones begin with, instead of noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.command_line.options import OptionError, option, positive_float
from core.imaging.images import image_size, list_images, read_image
from core.imaging.pairing import LISTED, find_partners
from generation.planning.plan import ConditionSet


@dataclass(frozen=True)
class StartImageOptions:
    """Real images to begin with, and how much of them is replaced."""

    encode_ratio: tuple[float, ...] = option(
        (),
        positive_float,
        "R",
        "start from the real image of each condition, with noise for this part of the steps, "
        "0.1 to 1 (1: pure noise); several values are taken by turns",
        nargs="+",
    )
    image_path: Path | None = option(
        None, Path, "DIR", "real images of the conditions, by name, for --encode_ratio"
    )

    def check(self):
        """Raise OptionError for a ratio outside 0.1..1, or where one option lacks the other."""
        for ratio in self.encode_ratio:
            if not 0.1 <= ratio <= 1:
                raise OptionError("encode_ratio", f"{ratio:g} is outside 0.1..1")
        if self.encode_ratio and self.image_path is None:
            raise OptionError("encode_ratio", "needs --image_path, the real images")
        if self.image_path and not self.encode_ratio:
            raise OptionError("image_path", "is only read with --encode_ratio")


def with_images(sets: Sequence[ConditionSet], options: StartImageOptions) -> list[ConditionSet]:
    """The condition sets with their real images, where the options ask for any.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        RuntimeError: a condition has no image.
    """
    if options.image_path is None:
        return list(sets)
    leading = [conditions.files[0] for conditions in sets]
    images = find_partners(leading, list_images(options.image_path))
    if missing := [path.name for path in leading if path not in images]:
        raise RuntimeError(
            f"{options.image_path}: no image for {len(missing)} of {len(sets)} conditions "
            f"({', '.join(missing[:LISTED])})"
        )
    return [replace(conditions, image=images[conditions.files[0]]) for conditions in sets]


def check_images(sets: Sequence[ConditionSet], sizes: dict[int, tuple[int, int]]) -> None:
    """Check the real images of condition sets.

    Args:
        sizes: (height, width) of the conditions by number of the set.
    Raises:
        ValueError, OSError: an image is damaged, or has another size than its condition.
    """
    for conditions in sets:
        if conditions.image is None:
            continue
        expected, found = sizes[conditions.number], image_size(conditions.image)
        if found != expected:
            raise ValueError(
                f"{conditions.image}: {found[1]} x {found[0]} pixels, but {conditions.files[0]} "
                f"has {expected[1]} x {expected[0]}"
            )
        read_image(conditions.image)  # in full: a damaged one is found before the model loads


def read_start(conditions: ConditionSet) -> np.ndarray:
    """The real image of a condition set, float32 (H, W, 3) in [0, 1]."""
    return read_image(conditions.image)
