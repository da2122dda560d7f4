"""Encoder and decoder of the autoencoder, in the names of the published weights.

Esser et al. 2021, as Rombach et al. 2022 use them.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import nn

from core.hardware.memory import give_back_freed_memory
from ldm.modules.diffusionmodules import row_slices
from ldm.modules.diffusionmodules.util import Upsample, group_norm


def norm(channels):
    """The autoencoder's group norm."""
    return group_norm(channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions, each after norm and SiLU, with a residual."""

    def __init__(self, in_channels, out_channels, dropout=0.0):
        super().__init__()
        self.norm1 = norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        # Published weights have no entry for an identity, so the attribute is left out there.
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        if row_slices.is_large(x):
            return self._forward_sliced(x)  # (N, out_channels, H, W)
        h = self.conv1(F.silu(self.norm1(x)))  # (N, out_channels, H, W)
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))  # (N, out_channels, H, W)
        if hasattr(self, "nin_shortcut"):  # only where the widths differ
            x = self.nin_shortcut(x)  # (N, out_channels, H, W)
        return x + h  # (N, out_channels, H, W)

    def _forward_sliced(self, x):
        """The same without gradients, so without dropout, in less memory."""
        h = row_slices.norm_silu_convolve(self.norm1, self.conv1, x)  # (N, out_channels, H, W)
        h = row_slices.norm_silu_convolve(self.norm2, self.conv2, h, in_place=True)  # like h
        return row_slices.add(h, x, getattr(self, "nin_shortcut", None))  # like h


class AttnBlock(nn.Module):
    """One-head self-attention over all pixels, with a residual."""

    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        # A 1x1 convolution is a linear layer for each pixel; the published weights have its shape.
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H, W)."""
        y = self.norm(x)  # (N, C, H, W)
        q, k, v = (
            rearrange(conv(y), "n c h w -> n 1 (h w) c").contiguous()
            for conv in (self.q, self.k, self.v)
        )  # (N, 1, H*W, C)
        # softmax(Q K^T / sqrt(C)) V: every pixel looks at every other one. Only of contiguous
        # tensors torch computes it without a matrix of all pairs: 2^32 in a 2,048-pixel picture.
        y = F.scaled_dot_product_attention(q, k, v)  # (N, 1, H*W, C)
        y = rearrange(y, "n 1 (h w) c -> n c h w", h=x.shape[2])  # (N, C, H, W)
        return x + self.proj_out(y)  # (N, C, H, W)


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels, dropout):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, dropout)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels, dropout)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w)."""
        return self.block_2(self.attn_1(self.block_1(x)))  # (N, C, h, w)


class Downsample(nn.Module):
    """Half the size; padded on the right and below only, as the published weights expect."""

    def __init__(self, channels):
        super().__init__()
        # `padding=1` would pad all four sides and shift the picture by a pixel. See `forward`.
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        if row_slices.is_large(x):
            return row_slices.convolve_halving(self.conv, x)  # (N, C, H/2, W/2)
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # (N, C, H/2, W/2)


class Level(nn.Module):
    """The blocks of one resolution, then the change of size where there is one.

    Args:
        resample: `downsample` or `upsample` with its module, or nothing. The keyword is part of
            the published names.
    """

    def __init__(self, in_channels, channels, blocks, dropout, **resample):
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(in_channels if i == 0 else channels, channels, dropout)
            for i in range(blocks)
        )
        for name, module in resample.items():
            self.add_module(name, module)
        self.resample = tuple(resample)

    @property
    def steps(self) -> list[nn.Module]:
        """Layers that a map goes through, in order.

        A network calls these one by one. Had the level a `forward`, its caller would hold the map
        that goes in until the level is done, and the largest map twice as long as it is needed.
        """
        return [*self.block, *(getattr(self, name) for name in self.resample)]


class Encoder(nn.Module):
    """Image -> moments of the posterior over latents.

    Args:
        in_channels: of the image.
        ch, ch_mult: level i has `ch * ch_mult[i]` channels; the size halves between levels, so
            f, the factor between image and latents, is `size_factor(ch_mult)`.
        num_res_blocks: blocks per level.
        z_channels: channels of the mean; as many of the log variance.
    """

    def __init__(self, in_channels, ch, ch_mult, num_res_blocks, z_channels, dropout=0.0):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down = nn.ModuleList()
        channels = ch
        for i, mult in enumerate(ch_mult):
            # Every level but the last one halves the size.
            resample = {"downsample": Downsample(mult * ch)} if i != len(ch_mult) - 1 else {}
            self.down.append(Level(channels, mult * ch, num_res_blocks, dropout, **resample))
            channels = mult * ch
        self.mid = Middle(channels, dropout)
        self.norm_out = norm(channels)
        # Twice the channels: mean and log variance of q(z | x).
        self.conv_out = nn.Conv2d(channels, 2 * z_channels, 3, padding=1)

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, 2 z_channels, H/f, W/f)."""
        if row_slices.is_large(x, growth=self.conv_in.out_channels / x.shape[1]):
            h = row_slices.convolve(self.conv_in, x)  # as below
        else:
            h = self.conv_in(x)  # (N, ch, H, W)
        for level in self.down:
            for step in level.steps:
                h = step(h)  # (N, ch * ch_mult[i], H/2^i, W/2^i), then half the size but at last
        h = self.mid(h)  # (N, ch * ch_mult[-1], H/f, W/f)
        return self.conv_out(F.silu(self.norm_out(h)))  # (N, 2 z_channels, H/f, W/f)


class Decoder(nn.Module):
    """Latents -> image; arguments as in `Encoder`, with one block more per level."""

    def __init__(self, out_ch, ch, ch_mult, num_res_blocks, z_channels, dropout=0.0):
        super().__init__()
        channels = ch * ch_mult[-1]
        self.conv_in = nn.Conv2d(z_channels, channels, 3, padding=1)
        self.mid = Middle(channels, dropout)
        levels = []
        for i, mult in reversed(list(enumerate(ch_mult))):  # from the deepest level up
            resample = {"upsample": Upsample(mult * ch)} if i else {}
            # Published names count `up` from the highest resolution, which is built last.
            levels.insert(0, Level(channels, mult * ch, num_res_blocks + 1, dropout, **resample))
            channels = mult * ch
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(channels)
        self.conv_out = nn.Conv2d(channels, out_ch, 3, padding=1)

    def forward(self, z):
        """(N, z_channels, h, w) -> (N, out_ch, f h, f w).

        Before levels of large maps, a CPU gives freed memory back to the system.
        """
        h = self.mid(self.conv_in(z))  # (N, ch * ch_mult[-1], h, w)
        for level in reversed(self.up):
            if row_slices.is_large(h):
                give_back_freed_memory()  # of the sampler's steps, or of smaller maps
            for step in level.steps:
                h = step(h)  # (N, ch * ch_mult[i], f h/2^i, f w/2^i), then twice the size if i
        if row_slices.is_large(h):
            return row_slices.norm_silu_convolve(self.norm_out, self.conv_out, h)  # as below
        return self.conv_out(F.silu(self.norm_out(h)))  # (N, out_ch, f h, f w)
