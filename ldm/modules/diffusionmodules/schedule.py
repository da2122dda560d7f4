"""The noise schedule of the family."""

import numpy as np

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
