"""UniPC of second order (Zhao et al. 2023, arXiv:2302.04867), with B(h) = e^h - 1.

Each step is predicted (UniP) and, when the network was asked at its end, corrected (UniC). The
correction costs no network pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ldm.modules.diffusionmodules.schedule import predict_x0
from ldm.samplers.dpmpp import dpmpp_timesteps, first_order_step, half_log_snr, valid_steps
from ldm.samplers.sampler import Denoiser, Sampler

if TYPE_CHECKING:  # loading torch takes seconds
    import torch


def unipc_weights(r: Sequence[float], h: float) -> np.ndarray:
    """Weights a_m of the differences of x_0, float64 (M,) (Zhao et al. 2023, Eq. 5, for x_0).

    They make the update exact for an x_0 that is a polynomial of degree M in lambda.

    Args:
        r: places of the M points, 0 at the beginning of the step and 1 at its end.
        h: increase of lambda.
    """
    if len(r) == 1:  # one weight: 1/2 keeps the order whatever B(h) is (appendix F of the paper)
        return np.array([0.5])
    powers = np.vander(r, increasing=True).T  # (M, M), r_m ** n
    # phi_n at -h (appendix A of the paper): phi_1 = (e^-h - 1) / -h, phi_n+1 = (phi_n - 1/n!) / -h
    phi_1 = phi = -np.expm1(-h) / h
    targets = []  # (M,)
    for n in range(1, len(r) + 1):
        phi = (1 / math.factorial(n) - phi) / h
        targets.append(math.factorial(n) * phi / phi_1)
    return np.linalg.solve(powers, targets)


def unipc_step(x_noisy, pred_x0, known, abar_t, abar_next):
    """Latents at the next alpha-bar, one step from `abar_t` (Zhao et al. 2023, Eq. 9).

    Args:
        x_noisy, pred_x0: latents at `abar_t` and the x_0 predicted there, (N, C, h, w).
        known: pairs (alpha-bar, predicted x_0) of other points. With earlier points alone this is
            the predictor, with the end of the step too it is the corrector.
    """
    x_next = first_order_step(x_noisy, pred_x0, abar_t, abar_next)  # (N, C, h, w)
    if not known:
        return x_next
    h = half_log_snr(abar_next) - half_log_snr(abar_t)  # above 0: the noise falls
    r = [(half_log_snr(point) - half_log_snr(abar_t)) / h for point, _ in known]
    for place, weight, (_, other_x0) in zip(r, unipc_weights(r, h), known, strict=True):
        slope = (other_x0 - pred_x0) / place  # (N, C, h, w)
        x_next = x_next - abar_next**0.5 * np.expm1(-h) * weight * slope  # (N, C, h, w)
    return x_next


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
    count = len(timesteps) - 1  # a step joins two timesteps
    x_noisy, x_before, known = x_T, None, []  # `x_before`: where the step that led here began
    for i in range(first, count):
        eps = denoise(x_noisy, int(timesteps[i]))  # (N, C, h, w)
        pred_x0 = predict_x0(x_noisy, eps, abar[i])  # (N, C, h, w)
        if known:  # UniC: the last step again, now that x_0 is known at its end
            *earlier, (abar_before, x0_before) = known
            ends = [*earlier, (abar[i], pred_x0)]
            x_noisy = unipc_step(x_before, x0_before, ends, abar_before, abar[i])  # (N, C, h, w)
        x_before = x_noisy
        x_noisy = unipc_step(x_before, pred_x0, known[-1:], abar[i], abar[i + 1])  # (N, C, h, w)
        known = [*known[-1:], (abar[i], pred_x0)]
    return x_noisy  # (N, C, h, w)


UNIPC = Sampler(
    name="unipc",
    title="UniPC (Zhao et al. 2023), deterministic, about 10 steps",
    sample=sample,
    timesteps=lambda steps, abar: dpmpp_timesteps(steps, abar)[:-1],  # none at the last
    valid_steps=valid_steps,
    ignores=("eta",),
)
