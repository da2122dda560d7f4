"""An RGBA tensor of a mask and edges, and the note that tells what it was made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from conditions.rgba import CLASS_PLANES
from conditions.segmentation import one_hot
from core.command_line.options import (
    OptionError,
    non_negative_float,
    non_negative_int,
    option,
    positive_int,
)
from core.imaging.image_header import stated_bit_depth
from core.imaging.thresholds import CANNY_HIGH, CANNY_LOW, check_thresholds

SUMS = {"image_sha256": "image_path", "mask_sha256": "mask_path"}  # in a note: whose they are


@dataclass(frozen=True)
class TensorOptions:
    """Classes and edges that a tensor holds."""

    num_mask_classes: int = option(
        CLASS_PLANES,
        positive_int,
        "INT",
        f"classes of the masks, at most {CLASS_PLANES}",
        aliases=("--num_classes",),
    )
    canny_low: int = option(CANNY_LOW, non_negative_int, "INT", "threshold where an edge ends")
    canny_high: int = option(CANNY_HIGH, non_negative_int, "INT", "threshold where an edge starts")
    beta_edge: float = option(
        1.0,
        non_negative_float,
        "FLOAT",
        "factor of the edges, which are then clipped to 1 and rounded to 8 bits",
    )

    def check(self):
        """Raise OptionError where masks have too many classes or thresholds are in wrong order."""
        if self.num_mask_classes > CLASS_PLANES:
            raise OptionError(
                "num_mask_classes",
                f"{self.num_mask_classes} classes, but R, G and B hold {CLASS_PLANES} planes. "
                "Merge classes, or train a mask and an edge branch and generate with both",
            )
        check_thresholds("canny_low", self.canny_low, self.canny_high)

    @property
    def folder(self) -> str:
        """Name of the folder of tensors, after the thresholds."""
        return f"{self.canny_low}_{self.canny_high}"


def build_rgba(labels: np.ndarray, edges: np.ndarray, beta_edge: float) -> np.ndarray:
    """A tensor, float32 (H, W, 4) in [0, 1]: class planes and edges.

    Alpha is rounded to 8 bits, so that both formats hold the same tensor.

    Args:
        labels: class indices (H, W).
        edges: uint8 (H, W).
        beta_edge: factor of the edges.
    """
    # Clipped before the rounding: 8 bits hold no factor above 1.
    # `float`: with a whole number the product would wrap around at 256.
    alpha = (edges * float(beta_edge)).clip(0, 255).round().astype(np.float32) / 255
    return np.concatenate([one_hot(labels, CLASS_PLANES), alpha[..., None]], axis=2)


def describe(image: Path, mask: Path, tensor: TensorOptions, sums: Mapping[str, str]) -> str:
    """The published note of a tensor, which also tells whether an old file can be kept.

    Args:
        sums: of the files, by names of `SUMS`; the published note has none.
    """
    note = {
        "image_path": str(image),
        "mask_path": str(mask),
        "value_range": "neg_one_to_one",  # of the .npz; a .png has the 8 bits of its kind
        "canny_low": tensor.canny_low,
        "canny_high": tensor.canny_high,
        "beta_edge": tensor.beta_edge,
    }
    if bit_depth := stated_bit_depth():
        note["bit_depth"] = bit_depth
    return json.dumps(note | sums)


def difference_of_notes(note: str | None, meta: str) -> str | None:
    """The difference of a tensor's note from the one it would get now; None where there is none.

    Notes of older versions have no checksums, so their files count as unchanged.
    """
    try:
        before, now = json.loads(note or ""), json.loads(meta)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        return "has no note of what it was made from"
    changed = [name for name in SUMS if name in before and before[name] != now[name]]
    for name in SUMS:
        before.pop(name, None)
        now.pop(name)
    # A mixture of thresholds in one folder would train a branch on two kinds of edges.
    if before != now:
        return "was made from other files or options"
    return f"{now[SUMS[changed[0]]]} has changed since" if changed else None
