"""Facts about the way from pixels to the input of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import numpy as np
    import torch

RESIZE_RULES = {  # name in a result -> what it is
    "pillow-bilinear": "Pillow, bilinear, antialiased, on 8-bit pixels",
    "pillow-bicubic": "Pillow, bicubic, antialiased, on unrounded pixels, clipped (clean-fid)",
    "torch-bilinear": "bilinear without antialiasing (pytorch-fid)",
}


@dataclass(frozen=True)
class Preprocessing:
    """The way from pixels to the input of a network.

    Attributes:
        size: height and width; the aspect ratio is not kept.
        resize: one of `RESIZE_RULES`.
        grey: one channel (ITU-R BT.601 luma, which leaves grey pictures as they are), not three.
        mean, std: of the normalisation, in [0, 1] units, one number per channel.
    """

    size: int
    resize: str
    grey: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: np.ndarray) -> torch.Tensor:
        """uint8, or float in [0, 1], (H, W, 3) -> float32 (1 or 3, size, size); see `prepare`."""
        from fid.images import prepare  # here, because it loads torch

        return prepare(pixels, self)
