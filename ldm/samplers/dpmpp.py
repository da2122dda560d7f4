"""DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, Algorithm 2).

Second order at one network pass per step: about 20 steps come as close as 50 of DDIM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ldm.modules.diffusionmodules.schedule import predict_x0
from ldm.samplers.sampler import Denoiser, Sampler, check_steps

if TYPE_CHECKING:  # loading torch takes seconds
    import torch


def valid_steps(num_timesteps: int) -> range:
    """Numbers of steps that can be asked for: 1 to T - 1, as each step joins two timesteps."""
    return range(1, num_timesteps)


def half_log_snr(abar):
    """lambda = log(alpha / sigma), the variable in which the solver's steps are even."""
    return 0.5 * np.log(abar / (1 - abar))  # alpha = sqrt(abar), sigma = sqrt(1 - abar)


def dpmpp_timesteps(steps: int, alphas_cumprod: np.ndarray) -> np.ndarray:
    """Descending timesteps from T - 1 to 0, int64; the network is asked at all but the last.

    They are even in `half_log_snr`. More than about 20 steps of 1000 ask for a timestep near 0
    twice. It is taken once, so there can be fewer timesteps than `steps` + 1.

    Raises:
        ValueError: `steps` is not within 1..T-1.
    """
    check_steps(steps, valid_steps(len(alphas_cumprod)))
    lambdas = half_log_snr(alphas_cumprod)  # (T,), descending
    targets = np.linspace(lambdas[-1], lambdas[0], steps + 1)  # (steps + 1,), ascending
    # np.interp wants ascending abscissae, and lambda falls with t: hence the signs.
    timesteps = np.interp(-targets, -lambdas, np.arange(len(lambdas))).round().astype(np.int64)
    return np.unique(timesteps)[::-1]  # `unique` sorts upwards, and sampling goes down


def first_order_step(x_noisy, pred_x0, abar_t, abar_next):
    """One step for an x_0 that stays as predicted, (N, C, h, w): DDIM with eta 0.

    With lambda = log(alpha / sigma) and h its increase: x' = sigma'/sigma x - alpha' (e^-h - 1) D,
    where D is x_0.
    """
    h = half_log_snr(abar_next) - half_log_snr(abar_t)  # above 0: the noise falls
    # expm1 keeps the digits of e^-h - 1 where h is small.
    towards_x0 = abar_next**0.5 * np.expm1(-h) * pred_x0  # (N, C, h, w)
    return ((1 - abar_next) / (1 - abar_t)) ** 0.5 * x_noisy - towards_x0  # (N, C, h, w)


def dpmpp_step(x_noisy, pred_x0, x0_before, abar_t, abar_next, abar_before):
    """One step of second order, (N, C, h, w); of first where there is no step before it.

    Args:
        x_noisy, pred_x0: latents and the x_0 predicted from them, (N, C, h, w).
        x0_before, abar_before: prediction and alpha-bar of the step before, or None.
    """
    D = pred_x0  # (N, C, h, w)
    if x0_before is not None:
        # Extrapolate x_0 linearly in lambda to the middle of this step; r compares the two steps,
        # which differ in size because timesteps are whole numbers.
        h = half_log_snr(abar_next) - half_log_snr(abar_t)
        r = (half_log_snr(abar_t) - half_log_snr(abar_before)) / h
        D = (1 + 0.5 / r) * pred_x0 - 0.5 / r * x0_before  # (N, C, h, w)
    return first_order_step(x_noisy, D, abar_t, abar_next)  # (N, C, h, w)


def sample(
    denoise: Denoiser,
    x_T: torch.Tensor,
    alphas_cumprod: np.ndarray,
    steps: int,
    eta: float = 0.0,
    generators: Sequence[torch.Generator] | None = None,
    first: int = 0,
) -> torch.Tensor:
    """Samples, shape of `x_T`; arguments as in `ldm.samplers.ddim.sample`.

    The solver is deterministic: `eta` and `generators` change nothing.

    Raises:
        ValueError: as `dpmpp_timesteps`.
    """
    timesteps = dpmpp_timesteps(steps, alphas_cumprod)
    abar = alphas_cumprod[timesteps].tolist()
    x_noisy, x0_before, count = x_T, None, len(timesteps) - 1  # a step joins two timesteps
    for i in range(first, count):
        eps = denoise(x_noisy, int(timesteps[i]))  # (N, C, h, w)
        # The "++": the solver works on x_0 instead of eps, which is stabler under strong guidance.
        pred_x0 = predict_x0(x_noisy, eps, abar[i])  # (N, C, h, w)
        abar_before = abar[i - 1] if i > first else None
        x_noisy = dpmpp_step(
            x_noisy, pred_x0, x0_before, abar[i], abar[i + 1], abar_before
        )  # (N, C, h, w)
        x0_before = pred_x0
    return x_noisy  # (N, C, h, w)


DPMPP = Sampler(
    name="dpmpp",
    title="DPM-Solver++ (Lu et al. 2022), deterministic, about 20 steps",
    sample=sample,
    timesteps=lambda steps, abar: dpmpp_timesteps(steps, abar)[:-1],  # none at the last
    valid_steps=valid_steps,
    ignores=("eta",),
)
