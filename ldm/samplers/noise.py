"""Noise that belongs to a sample, whatever the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loading torch takes seconds
    import torch


def draw_noise(
    shape: tuple[int, ...],
    generators: Sequence[torch.Generator] | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Standard normal noise of `shape`, (N, ...).

    Args:
        generators: one CPU generator per sample. A sample's noise then depends on its generator
            alone, and is the same on every device. torch's global generator when not given.
    """
    import torch  # here: samplers are listed in options, which are read before it is loaded

    if generators is None:
        return torch.randn(shape, device=device)
    # Drawn on the CPU: the generator of a GPU gives other numbers from the same seed.
    samples = [torch.randn(shape[1:], generator=generator) for generator in generators]
    return torch.stack(samples).to(device)  # (N, ...)


@dataclass(frozen=True)
class Blend:
    """Noise on the way from that of one seed to that of another.

    Attributes:
        first, second: the seeds.
        angle: place on the way, from 0 to pi / 2. The sum of the squares of cosine and sine is 1,
            so the blend is standard normal as well.
    """

    first: int
    second: int
    angle: float


def blend_noise(
    shape: tuple[int, ...], blends: Sequence[Blend], device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Standard normal noise of `shape`, (N, ...), one blend for each sample."""
    import torch  # as above

    def seeded(seeds):
        return draw_noise(shape, [torch.Generator().manual_seed(seed) for seed in seeds])

    firsts = seeded([blend.first for blend in blends])  # (N, ...)
    seconds = seeded([blend.second for blend in blends])  # (N, ...)
    noise = [
        math.cos(blend.angle) * first + math.sin(blend.angle) * second
        for blend, first, second in zip(blends, firsts, seconds, strict=True)
    ]
    return torch.stack(noise).to(device)  # (N, ...)
