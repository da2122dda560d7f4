"""Small parts that the U-Net, the control branch and the schedules share."""

import math

import numpy as np
import torch
from torch import nn

GROUPS = 32  # of every group norm in the Stable Diffusion family
TIMESTEPS, LINEAR_START, LINEAR_END = 1000, 0.00085, 0.012  # T, beta_1, beta_T of Stable Diffusion


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Group norm of 32 groups; the U-Net uses the default eps, its transformers and the autoencoder 1e-6."""
    return nn.GroupNorm(GROUPS, channels, eps=eps)


def zero_module(module: nn.Module) -> nn.Module:
    """Set all parameters of `module` to zero and return it (Zhang et al. 2023, Sec. 3.1: 'zero convolution')."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def timestep_embedding(timesteps, dim, max_period=10000):
    """Sinusoidal embedding of (N,) timesteps, (N, dim): cosines first, then sines (Vaswani et al. 2017, Sec. 3.5)."""
    half = dim // 2
    frequencies = torch.exp(
        -math.log(max_period)
        * torch.arange(half, dtype=torch.float32, device=timesteps.device)
        / half
    )
    angles = timesteps[:, None].float() * frequencies[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return nn.functional.pad(embedding, (0, dim % 2))


def make_betas(
    timesteps: int = TIMESTEPS, linear_start: float = LINEAR_START, linear_end: float = LINEAR_END
) -> np.ndarray:
    """beta_t of latent diffusion, (T,) float64.

    Linear in sqrt(beta), which Rombach et al. (2022) call the 'linear' schedule; Ho et al. (2020)
    are linear in beta itself.
    """
    return np.linspace(linear_start**0.5, linear_end**0.5, timesteps, dtype=np.float64) ** 2


def make_alphas_cumprod(
    timesteps: int = TIMESTEPS, linear_start: float = LINEAR_START, linear_end: float = LINEAR_END
) -> np.ndarray:
    """alpha-bar_t of the same schedule, (T,) float64 (Ho et al. 2020, Sec. 2)."""
    return np.cumprod(1 - make_betas(timesteps, linear_start, linear_end))
