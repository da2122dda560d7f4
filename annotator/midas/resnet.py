"""The ResNet under DPT-Hybrid's transformer, as in Dosovitskiy et al. 2021.

It has weight-standardised convolutions (Qiao et al. 2019), group norm and TensorFlow's padding.
"""

from einops import rearrange
from torch import nn
from torch.nn import functional as F

STAGES = ((3, 256, 1), (4, 512, 2), (9, 1024, 2))  # blocks, channels, stride of the first block


def pad_same(x, kernel_size: int, stride: int, value: float = 0.0):
    """A map (N, C, h, w) with TensorFlow's SAME padding.

    A convolution then gives ceil(size / stride) pixels. If the padding is odd, the end gets one
    pixel more than the beginning.
    """
    sizes = []
    # `F.pad` counts dimensions from the last one: width first.
    for side in (x.shape[-1], x.shape[-2]):
        total = max((-(-side // stride) - 1) * stride + kernel_size - side, 0)
        sizes += [total // 2, total - total // 2]
    return F.pad(x, sizes, value=value)


class StdConv2d(nn.Conv2d):
    """Convolution with kernels of mean 0 and variance 1 per output channel, no bias."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1):
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=False)

    def forward(self, x):
        """(N, in, h, w) -> (N, out, ceil(h / stride), ceil(w / stride))."""
        # Kernels take the place of one picture with a channel per kernel: its batch norm brings
        # each to mean 0 and variance 1.
        kernels = rearrange(self.weight, "out c kh kw -> 1 out (c kh kw)")  # (1, out, c k k)
        weight = F.batch_norm(kernels, None, None, training=True, eps=1e-8)
        weight = weight.view_as(self.weight)  # (out, in, k, k)
        x = pad_same(x, self.kernel_size[0], self.stride[0])  # (N, in, h + pad, w + pad)
        return F.conv2d(x, weight, stride=self.stride)  # (N, out, h / stride, w / stride)


def norm(channels):
    """The normalisation of the ResNet."""
    return nn.GroupNorm(32, channels, eps=1e-5)


class Stem(nn.Module):
    """The first layers, which bring a picture to a quarter of its size."""

    def __init__(self):
        super().__init__()
        self.conv = StdConv2d(3, 64, 7, stride=2)
        self.norm = norm(64)

    def forward(self, x):
        """(N, 3, H, W) -> (N, 64, H / 4, W / 4)."""
        x = F.relu(self.norm(self.conv(x)))  # (N, 64, H / 2, W / 2)
        # Padding of minus infinity never is the maximum.
        return F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)  # (N, 64, H / 4, W / 4)


class Downsample(nn.Module):
    """The shortcut of a stage's first block."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = StdConv2d(in_channels, out_channels, 1, stride)
        self.norm = norm(out_channels)

    def forward(self, x):
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        return self.norm(self.conv(x))  # (N, out, h / stride, w / stride)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, and the shortcut added before the last activation."""

    def __init__(self, in_channels, out_channels, stride, is_first):
        super().__init__()
        hidden = out_channels // 4
        self.downsample = (
            Downsample(in_channels, out_channels, stride) if is_first else nn.Identity()
        )
        self.conv1, self.norm1 = StdConv2d(in_channels, hidden, 1), norm(hidden)
        self.conv2, self.norm2 = StdConv2d(hidden, hidden, 3, stride), norm(hidden)
        self.conv3, self.norm3 = StdConv2d(hidden, out_channels, 1), norm(out_channels)

    def forward(self, x):
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        hidden = F.relu(self.norm1(self.conv1(x)))  # (N, out / 4, h, w)
        hidden = F.relu(self.norm2(self.conv2(hidden)))  # (N, out / 4, h / stride, w / stride)
        return F.relu(self.norm3(self.conv3(hidden)) + self.downsample(x))  # (N, out, ...)


class Stage(nn.Module):
    """Bottlenecks at one scale; the first of them shrinks the map."""

    def __init__(self, in_channels, num_blocks, channels, stride):
        super().__init__()
        blocks = [
            Bottleneck(channels if i else in_channels, channels, 1 if i else stride, i == 0)
            for i in range(num_blocks)
        ]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        """(N, in, h, w) -> (N, channels, h / stride, w / stride)."""
        return self.blocks(x)  # (N, channels, h / stride, w / stride)


class ResNet(nn.Module):
    """Convolutional encoder with maps at strides 4, 8 and 16."""

    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.stages = nn.ModuleList(
            Stage(STAGES[i - 1][1] if i else 64, *stage) for i, stage in enumerate(STAGES)
        )

    def forward(self, x):
        """(N, 3, H, W) -> (N, 256, H / 4, W / 4), (N, 512, H / 8, ...), (N, 1024, H / 16, ...)."""
        x = self.stem(x)  # (N, 64, H / 4, W / 4)
        maps = []
        for stage in self.stages:
            x = stage(x)  # (N, C, H / s, W / s) with s = 4, 8, 16
            maps.append(x)
        return maps
