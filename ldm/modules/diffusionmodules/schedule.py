"""The noise schedule of the family, and how clean latents, noise and noisy latents belong together.

The latter take numbers and tensors: coefficients of a step, or one for each sample, (N, 1, 1, 1).
Loading this file loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # loading torch takes seconds
    import torch

TIMESTEPS, LINEAR_START, LINEAR_END = 1000, 0.00085, 0.012  # T, beta_1, beta_T of Stable Diffusion


def make_betas(
    timesteps: int = TIMESTEPS, linear_start: float = LINEAR_START, linear_end: float = LINEAR_END
) -> np.ndarray:
    """beta_t of latent diffusion, (T,) float64.

    Linear in sqrt(beta), which Rombach et al. (2022) call the 'linear' schedule; Ho et al. (2020)
    are linear in beta itself.
    """
    return np.linspace(linear_start**0.5, linear_end**0.5, timesteps, dtype=np.float64) ** 2


def make_alphas_cumprod(betas: np.ndarray | None = None) -> np.ndarray:
    """alpha-bar_t, (T,) float64 (Ho et al. 2020, Sec. 2).

    Args:
        betas: beta_t, (T,) float64; those of Stable Diffusion when not given.
    """
    return np.cumprod(1 - (make_betas() if betas is None else betas))


def in_float64(alphas_cumprod: torch.Tensor) -> np.ndarray:
    """alpha-bar_t of a model, (T,): its float32 values, on the CPU in float64 for coefficients."""
    return alphas_cumprod.double().cpu().numpy()


def add_noise(x_start, noise, sqrt_abar_t, sqrt_one_minus_abar_t):
    """x_t given x_0 and the noise, (N, C, h, w) (Ho et al. 2020, Eq. 4)."""
    return sqrt_abar_t * x_start + sqrt_one_minus_abar_t * noise  # (N, C, h, w)


def predict_x0(x_noisy, eps, abar_t):
    """x_0 given x_t and the noise in it, (N, C, h, w) (Song et al. 2021, Eq. 9)."""
    return (x_noisy - (1 - abar_t) ** 0.5 * eps) / abar_t**0.5  # (N, C, h, w)


def v_of(x_start, noise, sqrt_abar_t, sqrt_one_minus_abar_t):
    """v given x_0 and the noise, (N, C, h, w) (Salimans & Ho 2022, appendix D)."""
    return sqrt_abar_t * noise - sqrt_one_minus_abar_t * x_start  # (N, C, h, w)


def eps_of_v(x_noisy, v, abar_t):
    """The noise in x_t given v, (N, C, h, w) (Salimans & Ho 2022, appendix D)."""
    return abar_t**0.5 * v + (1 - abar_t) ** 0.5 * x_noisy  # (N, C, h, w)
