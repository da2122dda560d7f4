"""Grain on generated images, which the decoder draws too smooth."""

from pathlib import Path

import torch
from einops import rearrange

from core.imaging.pixel_size import PixelSize, as_pixel_size
from microscope.grain import Grain, read_grain


def chosen_grain(path: Path | None, pixel_size: PixelSize | None) -> Grain | None:
    """The grain of a file; None for none.

    Args:
        path: the option --grain.
        pixel_size: of the images; None where it is unknown.
    Raises:
        FileNotFoundError, ValueError: no such file, or it is damaged, holds something else or
            was measured at a pixel size that differs by more than a tenth.
    """
    if path is None:
        return None
    grain = read_grain(path)
    measured = as_pixel_size(grain.pixel_size_nm)
    if measured and pixel_size and not measured.is_like(pixel_size):
        raise ValueError(
            f"--grain {path}: was measured on pixels of {measured}, but the images have "
            f"pixels of {pixel_size}. Measure the grain of such images."
        )
    return grain


def add_grain(grain: Grain, decoded: torch.Tensor, seed: int) -> torch.Tensor:
    """A decoded picture with grain, float64 (1, 3, H, W) on the CPU; see `Grain.add`.

    Args:
        decoded: (1, 3, H, W) in [-1, 1].
        seed: of the picture.
    """
    picture = rearrange(decoded, "1 c h w -> h w c").double().cpu().numpy()  # (H, W, 3)
    grained = torch.from_numpy(grain.add((picture + 1) / 2, seed))
    return rearrange(2 * grained - 1, "h w c -> 1 c h w")
