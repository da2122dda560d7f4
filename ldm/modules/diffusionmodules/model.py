"""Encoder and decoder of the autoencoder (Esser et al. 2021, as Rombach et al. 2022 use them), in their published names."""

import torch.nn.functional as F
from torch import nn

from ldm.modules.diffusionmodules.util import group_norm


def norm(channels):
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
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    """One-head self-attention over all pixels, with a residual."""

    def __init__(self, channels):
        super().__init__()
        self.norm = norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        y = self.norm(x)
        q, k, v = (
            conv(y).flatten(2).transpose(1, 2)[:, None] for conv in (self.q, self.k, self.v)
        )  # (N, 1, H*W, C)
        y = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(y)


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels, dropout):
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels, dropout)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels, dropout)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Downsample(nn.Module):
    """Half the size; padded on the right and below only, as the published weights expect."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution, then the change of size where there is one."""

    def __init__(self, in_channels, channels, blocks, dropout, **resample):
        super().__init__()
        self.block = nn.ModuleList(
            ResnetBlock(in_channels if i == 0 else channels, channels, dropout)
            for i in range(blocks)
        )
        for (
            name,
            module,
        ) in resample.items():  # `downsample` or `upsample`: part of the published names
            self.add_module(name, module)
        self.resample = tuple(resample)

    def forward(self, x):
        for block in self.block:
            x = block(x)
        for name in self.resample:
            x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    """Image (N, in_channels, H, W) -> moments (N, 2 z_channels, H/f, W/f) with f = 2 ** (len(ch_mult) - 1)."""

    def __init__(self, in_channels, ch, ch_mult, num_res_blocks, z_channels, dropout=0.0):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down = nn.ModuleList()
        channels = ch
        for i, mult in enumerate(ch_mult):
            resample = {"downsample": Downsample(mult * ch)} if i != len(ch_mult) - 1 else {}
            self.down.append(Level(channels, mult * ch, num_res_blocks, dropout, **resample))
            channels = mult * ch
        self.mid = Middle(channels, dropout)
        self.norm_out = norm(channels)
        self.conv_out = nn.Conv2d(channels, 2 * z_channels, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(self.mid(h))))


class Decoder(nn.Module):
    """Latents (N, z_channels, h, w) -> image (N, out_ch, f h, f w); the list `up` counts from the highest resolution."""

    def __init__(self, out_ch, ch, ch_mult, num_res_blocks, z_channels, dropout=0.0):
        super().__init__()
        channels = ch * ch_mult[-1]
        self.conv_in = nn.Conv2d(z_channels, channels, 3, padding=1)
        self.mid = Middle(channels, dropout)
        levels = []
        for i, mult in reversed(list(enumerate(ch_mult))):
            resample = {"upsample": Upsample(mult * ch)} if i else {}
            levels.insert(0, Level(channels, mult * ch, num_res_blocks + 1, dropout, **resample))
            channels = mult * ch
        self.up = nn.ModuleList(levels)
        self.norm_out = norm(channels)
        self.conv_out = nn.Conv2d(channels, out_ch, 3, padding=1)

    def forward(self, z):
        h = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            h = level(h)
        return self.conv_out(F.silu(self.norm_out(h)))
