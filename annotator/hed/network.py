"""Holistically-nested edge detection (Xie & Tu 2015), as trained for ControlNet.

A VGG-16 (Simonyan & Zisserman 2015) with a side output per block. Unlike in the paper, no layer
fuses the side outputs.
"""

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels of VGG-16


class Block(nn.Module):
    """3 x 3 convolutions at one scale, with a side output of edge logits."""

    def __init__(self, in_channels: int, channels: int, num_convs: int):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if i else in_channels, channels, 3, padding=1)
            for i in range(num_convs)
        )
        self.projection = nn.Conv2d(channels, 1, 1)

    def forward(self, x):
        """(N, in, h, w) -> features (N, channels, h, w) and edge logits (N, 1, h, w)."""
        for conv in self.convs:
            x = F.relu(conv(x))  # (N, channels, h, w)
        return x, self.projection(x)  # (N, channels, h, w), (N, 1, h, w)


class HEDNetwork(nn.Module):
    """Edge logits at five scales; the names are those of `ControlNetHED.pth`."""

    def __init__(self):
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1, 3, 1, 1))  # mean colour
        for i, (num_convs, channels) in enumerate(BLOCKS):
            setattr(self, f"block{i + 1}", Block(BLOCKS[i - 1][1] if i else 3, channels, num_convs))

    def forward(self, x):
        """Edge logits, finest scale first.

        Args:
            x: RGB in 0..255, (N, 3, H, W); H and W are at least 16.
        Returns:
            five maps (N, 1, H / s, W / s) with s = 1, 2, 4, 8, 16.
        """
        # The deviation is not divided by: the first convolution learned on 0..255.
        x = x - self.norm  # (N, 3, H, W)
        side_maps = []
        for i in range(len(BLOCKS)):
            # The first block works at full size. Pooling rounds odd sizes down.
            x = F.max_pool2d(x, 2) if i else x  # (N, in, H / s, W / s)
            x, side_map = getattr(self, f"block{i + 1}")(x)  # (N, C, H / s, W / s), (N, 1, ...)
            side_maps.append(side_map)
        return side_maps
