"""Facts about the way from pixels to the input of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from PIL import Image

from core.imaging.images import to_uint8

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
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
        """uint8, or float in [0, 1], (H, W, 3) -> float32 (1 or 3, size, size).

        Floats are rounded to 8 bits first: generated images have no more, and a real set of 16
        bits should not differ from them by that.
        """
        import torch  # here, as above

        if pixels.dtype != np.uint8:
            pixels = to_uint8(pixels)
        image = Image.fromarray(pixels)
        x = self._resized(image.convert("L") if self.grey else image)  # (C, size, size)
        mean, std = (torch.tensor(x)[:, None, None] for x in (self.mean, self.std))  # (C, 1, 1)
        return (x - mean) / std  # (C, size, size)

    def _resized(self, image: Image.Image) -> torch.Tensor:
        """(C, size, size) in [0, 1]."""
        size = (self.size, self.size)
        if self.resize == "pillow-bilinear":
            return _to_tensor(np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
        if self.resize == "pillow-bicubic":
            # Pillow resizes several channels in 8 bits only; one channel of floats keeps fractions.
            channels = [
                np.asarray(channel.convert("F").resize(size, Image.Resampling.BICUBIC))
                for channel in image.split()
            ]
            return _to_tensor(np.stack(channels, axis=-1).clip(0, 255))  # bicubic overshoots
        from torch.nn import functional as F  # here, as above

        x = _to_tensor(np.asarray(image))  # (C, H, W)
        return F.interpolate(x[None], size=size, mode="bilinear", align_corners=False)[0]


def _to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, C) in 0..255 -> float32 (C, H, W) in [0, 1]."""
    import torch  # here, as above

    x = torch.from_numpy(pixels.astype(np.float32) / 255)
    return x[None] if x.ndim == 2 else rearrange(x, "h w c -> c h w")
