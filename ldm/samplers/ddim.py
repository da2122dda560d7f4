"""DDIM (Song et al. 2021, arXiv:2010.02502), with the timesteps of the published sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from ldm.modules.diffusionmodules.schedule import predict_x0
from ldm.samplers.noise import draw_noise
from ldm.samplers.sampler import Denoiser, Sampler, check_steps

if TYPE_CHECKING:  # loading torch takes seconds
    import torch


class DdimSchedule(NamedTuple):
    """Timesteps and coefficients of a run of S steps, each (S,), from the smallest timestep up.

    Attributes:
        timesteps: int64.
        abar, abar_next: alpha-bar at each timestep and at the one below it, where a step leads,
            float64.
        sigmas: sigma_t, float64.
    """

    timesteps: np.ndarray
    abar: np.ndarray
    abar_next: np.ndarray
    sigmas: np.ndarray


def valid_steps(num_timesteps: int) -> range:
    """Numbers of steps that can be asked for: 1 to T."""
    return range(1, num_timesteps + 1)


def ddim_timesteps(steps: int, num_timesteps: int) -> np.ndarray:
    """Uniform timesteps, ascending, int64: every (T // steps)-th, plus one.

    As in the published sampler, the stride is rounded down, so there can be more of them than
    `steps`: asking for 70 of 1000 gives 72.
    Differs from the published sampler: a last timestep of T, which the schedule does not have, is
    left out (3 steps of 1000 would end there).

    Raises:
        ValueError: `steps` is not within 1..T.
    """
    check_steps(steps, valid_steps(num_timesteps))
    # Plus one, so that the last step of a run has a timestep below it to land on: t = 0.
    timesteps = np.arange(0, num_timesteps, num_timesteps // steps) + 1
    return timesteps[timesteps < num_timesteps]


def ddim_schedule(steps: int, alphas_cumprod: np.ndarray, eta: float) -> DdimSchedule:
    """Timesteps and coefficients; sigma_t is Eq. 16 of Song et al. 2021.

    Args:
        alphas_cumprod: alpha-bar_t, (T,) float64.
        eta: 0 for the deterministic sampler, 1 for the noise of DDPM.
    Raises:
        ValueError: an impossible number of steps, or `eta` not within 0..1. Above 1 the step of
            Eq. 12 would take the root of a negative number.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta {eta}, expected 0 to 1")
    timesteps = ddim_timesteps(steps, len(alphas_cumprod))
    abar = alphas_cumprod[timesteps]  # (S,)
    # Below the first timestep stands t = 0 with alpha-bar 0.9991. As in the published sampler, a
    # little noise is thus left in the result; Song et al. 2021 end at alpha-bar 1.
    abar_next = np.concatenate([alphas_cumprod[:1], abar[:-1]])  # (S,)
    return DdimSchedule(timesteps, abar, abar_next, _sigmas(abar, abar_next, eta))


def full_schedule(alphas_cumprod: np.ndarray, eta: float) -> DdimSchedule:
    """The schedule of all T timesteps, which ends at alpha-bar 1, as in the paper.

    Args:
        alphas_cumprod, eta: as in `ddim_schedule`.
    """
    abar_next = np.append(1.0, alphas_cumprod[:-1])  # (T,)
    sigmas = _sigmas(alphas_cumprod, abar_next, eta)  # (T,)
    return DdimSchedule(np.arange(len(alphas_cumprod)), alphas_cumprod, abar_next, sigmas)


def _sigmas(abar, abar_next, eta):
    """sigma_t, (S,) float64 (Song et al. 2021, Eq. 16)."""
    ratio = (1 - abar_next) / (1 - abar)  # (S,)
    return eta * np.sqrt(ratio * (1 - abar / abar_next))  # (S,)


def ddim_step(x_noisy, eps, abar_t, abar_next, sigma_t, noise):
    """One DDIM step from timestep t to the next one of a run (Song et al. 2021, Eq. 12).

    Args:
        x_noisy, eps: latents at t and the noise predicted in them, (N, C, h, w).
        abar_t, abar_next: alpha-bar at t and at the next timestep; alpha in the paper.
        sigma_t: deviation of the noise that the step adds, 0 for a deterministic step (Eq. 16).
        noise: fresh noise like `x_noisy`; anything where `sigma_t` is 0.
    Returns:
        The latents at the next timestep and the predicted x_0, both like `x_noisy`.
    """
    pred_x0 = predict_x0(x_noisy, eps, abar_t)  # (N, C, h, w)
    towards_x_t = (1 - abar_next - sigma_t**2) ** 0.5 * eps  # (N, C, h, w)
    x_next = abar_next**0.5 * pred_x0 + towards_x_t + sigma_t * noise  # (N, C, h, w)
    return x_next, pred_x0


def sample(
    denoise: Denoiser,
    x_T: torch.Tensor,
    alphas_cumprod: np.ndarray,
    steps: int,
    eta: float = 0.0,
    generators: Sequence[torch.Generator] | None = None,
    first: int = 0,
) -> torch.Tensor:
    """Samples, shape of `x_T`.

    Args:
        x_T: noise to start from, (N, C, h, w); with `first`, latents at that timestep.
        alphas_cumprod: alpha-bar_t, (T,) float64.
        steps: number asked for; see `ddim_timesteps`.
        eta: stochasticity, 0 to 1.
        generators: one CPU generator per sample for the noise of the steps; see `draw_noise`.
        first: how many of the sampler's `timesteps` are left out, from the beginning.
    Raises:
        ValueError: as `ddim_schedule`.
    """
    schedule = ddim_schedule(steps, alphas_cumprod, eta)
    left = len(schedule.timesteps) - first  # they ascend, so the first steps stand at the end
    schedule = DdimSchedule(*(values[:left] for values in schedule))
    return descend(denoise, x_T, schedule, generators)  # (N, C, h, w)


def descend(
    denoise: Denoiser,
    x_noisy: torch.Tensor,
    schedule: DdimSchedule,
    generators: Sequence[torch.Generator] | None = None,
    on_step: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
    before_step: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    temperature: float = 1.0,
    verbose: bool = False,
) -> torch.Tensor:
    """Latents below a schedule, from those at its highest timestep; both (N, C, h, w).

    Args:
        denoise, generators: as in `sample`.
        on_step: called after each step with the number of steps that are left, the latents and the
            predicted x_0.
        before_step: function from the latents and the number of steps left after this one to the
            latents that the step takes in their place.
        temperature: factor of the noise that each step adds.
        verbose: show a progress bar.
    """
    count = len(schedule.timesteps)
    for i in tqdm(reversed(range(count)), desc="DDIM", total=count, disable=not verbose):
        # Computed in float64; as Python numbers they leave the latents in their own type.
        timestep, abar_t, abar_next, sigma_t = (values[i].item() for values in schedule)
        if before_step:
            x_noisy = before_step(x_noisy, i)  # (N, C, h, w)
        eps = denoise(x_noisy, timestep)  # (N, C, h, w)
        # (N, C, h, w); at eta 0 the step multiplies it by 0, so none is drawn.
        noise = draw_noise(x_noisy.shape, generators, x_noisy.device) if sigma_t > 0 else 0.0
        x_noisy, pred_x0 = ddim_step(x_noisy, eps, abar_t, abar_next, sigma_t, temperature * noise)
        if on_step:
            on_step(i, x_noisy, pred_x0)
    return x_noisy  # (N, C, h, w)


def ascend(
    denoise: Denoiser,
    x: torch.Tensor,
    schedule: DdimSchedule,
    on_step: Callable[[int, torch.Tensor], None] | None = None,
    verbose: bool = False,
) -> torch.Tensor:
    """Noise from which `descend` finds back to `x` (Song et al. 2021, Sec. 4.3).

    Args:
        x: latents below the schedule, (N, C, h, w).
        schedule: its `sigmas` are not used, as the way up is deterministic.
        on_step: called after each step with its number, from 0, and the latents.
        denoise: as in `sample`.
        verbose: show a progress bar.
    Returns:
        Latents at the schedule's highest timestep, (N, C, h, w).
    """
    for i in tqdm(range(len(schedule.timesteps)), desc="DDIM encoding", disable=not verbose):
        timestep, above, below, _ = (values[i].item() for values in schedule)
        eps = denoise(x, timestep)  # (N, C, h, w)
        # The step leads up here, from the alpha-bar below to that of the timestep.
        x, _ = ddim_step(x, eps, below, above, 0.0, 0.0)  # (N, C, h, w)
        if on_step:
            on_step(i, x)
    return x  # (N, C, h, w)


DDIM = Sampler(
    name="ddim",
    title="DDIM (Song et al. 2021)",
    sample=sample,
    timesteps=lambda steps, abar: ddim_timesteps(steps, len(abar))[::-1],  # from noise to image
    valid_steps=valid_steps,
)
