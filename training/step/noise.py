"""Random draws of a training step; they belong to each sample, whatever its batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from core.draws import sample_generator

GOLDEN_RATIO = 0.6180339887498949  # (sqrt(5) - 1) / 2, the number worst approached by fractions


class StepNoise(NamedTuple):
    """Draws for N samples.

    Attributes:
        posterior: standard normal, (N, C, h, w), from which latents are drawn.
        t: timesteps, (N,) int64 in [0, T).
        noise: standard normal, (N, C, h, w), which the model predicts.
    """

    posterior: torch.Tensor
    t: torch.Tensor
    noise: torch.Tensor


def draw_step_noise(
    seeds: Sequence[int], shape: tuple[int, int, int], num_timesteps: int
) -> StepNoise:
    """Draws that depend on each sample's seed alone.

    Args:
        shape: of a latent, (C, h, w).
        num_timesteps: T.
    """
    draws = []
    for seed in seeds:
        generator = sample_generator(seed, "noise", 0)
        posterior = torch.randn(shape, generator=generator)
        t = torch.randint(num_timesteps, (), generator=generator)
        draws.append((posterior, t, torch.randn(shape, generator=generator)))
    return StepNoise(*(torch.stack(values) for values in zip(*draws, strict=True)))


def spread_timesteps(numbers: Sequence[int], num_timesteps: int) -> torch.Tensor:
    """Fixed timesteps of samples by their numbers, (N,) int64.

    They follow the golden ratio, so that a small set covers all of [0, T) evenly.
    """
    # Multiples of an irrational number modulo 1 fill [0, 1) evenly (Weyl), the golden ratio best.
    places = (torch.tensor(numbers, dtype=torch.float64) + 0.5) * GOLDEN_RATIO % 1
    return (places * num_timesteps).long()
