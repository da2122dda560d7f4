"""Parts that several networks share."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ldm.modules.diffusionmodules.row_slices import convolve, is_large

GROUPS = 32  # of every group norm in the Stable Diffusion family
MAX_PERIOD = 10000  # the slowest wave of the timestep embedding takes 2 pi times as many timesteps


# On a GPU, autocast computes norms in float32, so every map is converted twice. A step of SD 1.5 in
# bf16 then takes a sixth longer (H200, batch of 16). Nothing is gained: the sums inside are float32
# in any case, and the result is rounded for the next product.
class GroupNorm(nn.GroupNorm):
    """Group norm that stays in 16 bits where its input does."""

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w), of the same type."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return F.group_norm(x, self.num_groups, weight, bias, self.eps)  # (N, C, h, w)


class LayerNorm(nn.LayerNorm):
    """Layer norm that stays in 16 bits where its input does."""

    def forward(self, x):
        """(N, L, dim) -> (N, L, dim), of the same type."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)  # (N, L, dim)


def group_norm(channels: int, eps: float = 1e-5) -> GroupNorm:
    """Group norm of 32 groups.

    The U-Net uses the default `eps`, its transformers and the autoencoder 1e-6.
    """
    return GroupNorm(GROUPS, channels, eps=eps)


def size_factor(multipliers: Sequence[int]) -> int:
    """Factor between the sizes of the first level of a network and its last.

    Args:
        multipliers: one channel multiplier for each level; the size halves between two levels.
    """
    return 2 ** (len(multipliers) - 1)


def rows_for(x, other):
    """`x` with as many rows as `other`, which has k times as many: all of them, k times over.

    Guidance shows one latent beside two texts. Its maps are the same for both until the text enters
    at the first cross attention, so until then they are computed once.

    Args:
        x, other: (N, ...) and (k N, ...).
    Raises:
        ValueError: `other` has another number of rows.
    """
    times = len(other) // len(x)
    if len(other) != times * len(x) or not times:  # torch.compile does not know divmod
        raise ValueError(f"{len(x)} latents and {len(other)} texts: expected k texts for each")
    return x if times == 1 else torch.cat([x] * times)  # (k N, ...)


def zero_module(module: nn.Module) -> nn.Module:
    """Set all parameters of `module` to zero and return it.

    A residual branch that ends in such a layer adds nothing until it has learned something. This
    is the 'zero convolution' of Zhang et al. (2023), Sec. 3.1.
    """
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _twice(x):
    """(N, C, H, W) -> (N, C, 2H, 2W) of the same type, each pixel four times."""
    # On a GPU, autocast would make float32 of it, which the convolution behind rounds again.
    with torch.autocast(x.device.type, enabled=False):
        return F.interpolate(x, scale_factor=2, mode="nearest")  # (N, C, 2H, 2W)


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        if is_large(x, growth=4):
            return convolve(self.conv, x, _twice, growth=2)  # (N, C, 2H, 2W)
        return self.conv(_twice(x))  # (N, C, 2H, 2W)


def timestep_embedding(timesteps, dim):
    """Sinusoidal embedding of (N,) timesteps, (N, dim) float32 (Vaswani et al. 2017, Sec. 3.5).

    Cosines come first, then sines, as in Dhariwal & Nichol (2021); the paper interleaves them.
    """
    half = dim // 2
    # 1 / P^(i / half), from 1 down to nearly 1 / P radians per timestep, with P = MAX_PERIOD. In
    # float32, as in training: float64 would change the last bits of every prediction.
    frequencies = torch.exp(
        -math.log(MAX_PERIOD)
        * torch.arange(half, dtype=torch.float32, device=timesteps.device)
        / half
    )
    angles = timesteps[:, None].float() * frequencies[None]  # (N, dim // 2)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)  # (N, dim), or dim - 1 if odd
    return F.pad(embedding, (0, dim % 2))  # (N, dim)
