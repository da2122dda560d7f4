"""Noise that belongs to a sample, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
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
