"""Grain on generated images, which the decoder draws too smooth."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange

from core.grain import Grain, read_grain
from core.options import OptionError, option, positive_float

SAME_SIZE = 0.01  # relative difference of pixel sizes that count as equal


@dataclass(frozen=True)
class GrainOptions:
    """A measured grain to add, and the pixel size that it must have."""

    grain: Path | None = option(
        None,
        Path,
        "FILE",
        "add this grain, a file of utils/fit_grain.py; each image draws its own from its seed",
    )
    pixel_size: float | None = option(
        None,
        positive_float,
        "NM",
        "pixel size of the images; a grain that was measured at another one is refused",
    )

    def check(self):
        """Raise OptionError for a pixel size that nothing is compared with."""
        if self.pixel_size is not None and self.grain is None:
            raise OptionError("pixel_size", "is only read with grain")

    def files(self) -> dict[str, Path]:
        """The grain's file by a name for the record of a run."""
        return {} if self.grain is None else {"grain": self.grain}

    def read(self) -> Grain | None:
        """The grain, None for none.

        Raises:
            FileNotFoundError, ValueError: no such file, or it is damaged, holds something else or
                was measured at another pixel size.
        """
        if self.grain is None:
            return None
        grain = read_grain(self.grain)
        sizes = self.pixel_size, grain.pixel_size
        if None not in sizes and not math.isclose(*sizes, rel_tol=SAME_SIZE):
            raise ValueError(
                f"{self.grain}: was measured at {grain.pixel_size:g} nm per pixel, but "
                f"--pixel_size is {self.pixel_size:g}. Measure the grain of such images."
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
