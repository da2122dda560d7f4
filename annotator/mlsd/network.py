"""M-LSD large (Gu et al. 2022): a network that predicts centres of lines and displacements.

The encoder is MobileNetV2 (Sandler et al. 2018). The decoder's blocks of types A, B and C are those
of the M-LSD paper.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Of each stage of the encoder: expansion, channels, blocks, stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
# Layers that the decoder reads, with their channels; their strides are 2, 4, 8, 16, 16.
TAPS = {1: 16, 3: 24, 6: 32, 10: 64, 13: 96}
WIDTH = 64  # channels of the decoder


class ConvBNReLU6(nn.Sequential):
    """Convolution without bias, norm, ReLU6.

    With stride 2 it pads right and bottom only, as TensorFlow does for even sizes: the published
    weights were trained there.
    """

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, groups=1):
        self.pad_end = stride == 2
        padding = 0 if self.pad_end else kernel_size // 2
        conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        )
        super().__init__(conv, nn.BatchNorm2d(out_channels), nn.ReLU6())

    def forward(self, x):
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        # The order of `F.pad` is left, right, top, bottom.
        x = F.pad(x, (0, 1, 0, 1)) if self.pad_end else x  # (N, in, h + 1, w + 1) or as it was
        return super().forward(x)  # (N, out, h / stride, w / stride)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow (Sandler et al. 2018, Fig. 4)."""

    def __init__(self, in_channels, out_channels, stride, expansion):
        super().__init__()
        hidden = in_channels * expansion
        layers = [ConvBNReLU6(in_channels, hidden, 1)] if expansion > 1 else []
        # No activation after the last convolution: a narrow layer would lose by it (Sec. 3.2).
        layers += [
            ConvBNReLU6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
        ]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(out_channels))
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x):
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        residual = self.conv(x)  # (N, out, h / stride, w / stride)
        return x + residual if self.is_residual else residual  # (N, out, h / stride, w / stride)


class Backbone(nn.Module):
    """MobileNetV2 on four channels, up to stride 16."""

    def __init__(self):
        super().__init__()
        layers, channels = [ConvBNReLU6(4, 32, stride=2)], 32
        for expansion, out_channels, num_blocks, stride in STAGES:
            for i in range(num_blocks):
                layers.append(
                    InvertedResidual(channels, out_channels, 1 if i else stride, expansion)
                )
                channels = out_channels
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        """(N, 4, H, W) -> the five maps of `TAPS`, (N, C, H / stride, W / stride)."""
        maps = []
        for i, layer in enumerate(self.features):
            x = layer(x)  # (N, C, H / stride, W / stride)
            if i in TAPS:
                maps.append(x)
        return maps


def conv_bn_relu(in_channels, out_channels, kernel_size, dilation=1):
    """A convolution that keeps the size, with bias, norm and ReLU."""
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class Join(nn.Module):
    """A shallow and a deep map side by side, at the size of the shallow one (type A)."""

    def __init__(self, shallow_channels, deep_channels, upscale):
        super().__init__()
        self.conv1 = conv_bn_relu(deep_channels, WIDTH, 1)
        self.conv2 = conv_bn_relu(shallow_channels, WIDTH, 1)
        self.upscale = upscale

    def forward(self, shallow, deep):
        """(N, shallow, h, w), (N, deep, h, w) or (N, deep, h / 2, w / 2) -> (N, 128, h, w)."""
        deep = self.conv1(deep)  # (N, 64, h, w) or half of that size
        if self.upscale:
            # (N, 64, h / 2, w / 2) -> (N, 64, h, w)
            deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True)
        return torch.cat([self.conv2(shallow), deep], dim=1)  # (N, 128, h, w)


class Refine(nn.Module):
    """A residual convolution and one to 64 channels (type B)."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv_bn_relu(2 * WIDTH, 2 * WIDTH, 3)
        self.conv2 = conv_bn_relu(2 * WIDTH, WIDTH, 3)

    def forward(self, x):
        """(N, 128, h, w) -> (N, 64, h, w)."""
        return self.conv2(self.conv1(x) + x)  # (N, 64, h, w)


class Predict(nn.Module):
    """A dilated convolution, a plain one and a linear map to 16 channels (type C)."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv_bn_relu(WIDTH, WIDTH, 3, dilation=5)
        self.conv2 = conv_bn_relu(WIDTH, WIDTH, 3)
        self.conv3 = nn.Conv2d(WIDTH, 16, 1)

    def forward(self, x):
        """(N, 64, h, w) -> (N, 16, h, w)."""
        x = self.conv2(self.conv1(x))  # (N, 64, h, w)
        return self.conv3(x)  # (N, 16, h, w)


class MLSDNetwork(nn.Module):
    """Line maps at half resolution; the names are those of `mlsd_large_512_fp32.pth`."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        c1, c2, c3, c4, c5 = TAPS.values()
        self.block15, self.block16 = Join(c4, c5, upscale=False), Refine()
        self.block17, self.block18 = Join(c3, WIDTH, upscale=True), Refine()
        self.block19, self.block20 = Join(c2, WIDTH, upscale=True), Refine()
        self.block21, self.block22 = Join(c1, WIDTH, upscale=True), Refine()
        self.block23 = Predict()

    def forward(self, x):
        """Line maps.

        Args:
            x: RGB and a constant in [-1, 1], (N, 4, H, W); H and W are multiples of 16.
        Returns:
            (N, 9, H / 2, W / 2). Channel 0: logit of a line's centre. Channels 1, 2 and 3, 4:
            displacement (x, y) from the centre to start and end, in pixels of the map. Channels
            5..8 serve training alone.
        """
        c1, c2, c3, c4, c5 = self.backbone(x)  # (N, C, H / s, W / s), s = 2, 4, 8, 16, 16
        x = self.block16(self.block15(c4, c5))  # (N, 64, H / 16, W / 16)
        x = self.block18(self.block17(c3, x))  # (N, 64, H / 8, W / 8)
        x = self.block20(self.block19(c2, x))  # (N, 64, H / 4, W / 4)
        x = self.block22(self.block21(c1, x))  # (N, 64, H / 2, W / 2)
        # The first seven of 16 channels are maps of line segments that only training uses.
        return self.block23(x)[:, 7:]  # (N, 9, H / 2, W / 2)
