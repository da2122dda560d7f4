"""Grain on generated images, which the decoder draws too smooth."""

from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange

from core.grain import Grain, read_grain
from core.options import option
from core.pixel_size import PixelSize, as_pixel_size


@dataclass(frozen=True)
class GrainOptions:
    """A measured grain to add."""

    grain: Path | None = option(
        None,
        Path,
        "FILE",
        "add this grain, a file of utils/fit_grain.py; each image draws its own from its seed",
    )

    def files(self) -> dict[str, Path]:
        """The grain's file by a name for the record of a run."""
        return {} if self.grain is None else {"grain": self.grain}

    def read(self, pixel_size: PixelSize | None) -> Grain | None:
        """The grain, None for none.

        Args:
            pixel_size: of the images; None where it is unknown.
        Raises:
            FileNotFoundError, ValueError: no such file, or it is damaged, holds something else or
                was measured at a pixel size that differs by more than a tenth.
        """
        if self.grain is None:
            return None
        grain = read_grain(self.grain)
        measured = as_pixel_size(grain.pixel_size_nm)
        if measured and pixel_size and not measured.is_like(pixel_size):
            raise ValueError(
                f"--grain {self.grain}: was measured on pixels of {measured}, but the images have "
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
