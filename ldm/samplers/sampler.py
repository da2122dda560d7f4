"""Samplers: functions from noise to samples, and the facts that callers need.

All of them name alpha-bars alike: `abar_t` at the timestep where a step begins, `abar_next` where
it leads, `abar_before` where the step before it began; `abar` is the list for a whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ldm.modules.diffusionmodules.schedule import make_alphas_cumprod

if TYPE_CHECKING:  # loading torch takes seconds
    import torch

# (x_noisy, t) -> eps: the noise predicted in x_noisy, (N, C, h, w), at the whole timestep t.
Denoiser = Callable[["torch.Tensor", int], "torch.Tensor"]


@dataclass(frozen=True)
class Sampler:
    """One entry of `ldm.samplers.SAMPLERS`.

    Attributes:
        name: by which it is chosen.
        title: name and paper, for help texts.
        sample: the sampling loop, with the arguments of `ldm.samplers.ddim.sample`.
        timesteps: function (steps, alphas_cumprod) -> the timesteps at which the denoiser is asked,
            in this order.
        valid_steps: function T -> the numbers of steps that a schedule of T timesteps allows.
        ignores: options, named as the arguments of `sample`, that change nothing.
    """

    name: str
    title: str
    sample: Callable[..., torch.Tensor]
    timesteps: Callable[[int, np.ndarray], Sequence[int]]
    valid_steps: Callable[[int], range]
    ignores: tuple[str, ...] = ()

    def evaluations(self, steps: int) -> int:
        """Number of times that an image asks the denoiser, on the schedule of Stable Diffusion.

        Raises:
            ValueError: `steps` is not one of `valid_steps`.
        """
        # Counted, because rounding makes it differ from `steps`: 72 for 70 steps of DDIM.
        return len(self.timesteps(steps, make_alphas_cumprod()))


def check_steps(steps: int, valid: range) -> None:
    """Raise ValueError unless `steps` is one of `valid`."""
    if steps not in valid:
        raise ValueError(f"{steps} sampling steps, expected {valid[0]} to {valid[-1]}")
