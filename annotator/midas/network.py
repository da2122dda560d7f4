"""DPT-Hybrid, Ranftl et al. 2021: depth from a vision transformer on a ResNet-50, with a convolutional decoder.

The ResNet is that of Dosovitskiy et al. 2021: weight-standardised convolutions (Qiao et al. 2019), group norm, TensorFlow's padding.
"""

import torch
from torch import nn
from torch.nn import functional as F

STAGES = ((3, 256, 1), (4, 512, 2), (9, 1024, 2))  # blocks, channels and first stride of the ResNet
WIDTH, DEPTH, HEADS = 768, 12, 12  # of the transformer
PATCH = 16  # pixels per token
GRID = 24  # tokens per side of the position embedding: 384 pixels
TAPS = (8, 11)  # transformer blocks that the decoder reads, counted from 0
FEATURES = 256  # channels of the decoder


def pad_same(x, kernel_size: int, stride: int, value: float = 0.0):
    """TensorFlow's SAME padding: the output has ceil(size / stride) pixels, the odd one of the padding goes to the end."""
    sizes = []
    for side in (x.shape[-1], x.shape[-2]):
        total = max((-(-side // stride) - 1) * stride + kernel_size - side, 0)
        sizes += [total // 2, total - total // 2]
    return F.pad(x, sizes, value=value)


class StdConv2d(nn.Conv2d):
    """Convolution with kernels of mean 0 and variance 1 per output channel, no bias."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1):
        super().__init__(in_channels, out_channels, kernel_size, stride, bias=False)

    def forward(self, x):
        kernels = self.weight.flatten(1)[
            None
        ]  # (1, out, in k k): the batch norm of an array of one picture
        weight = F.batch_norm(kernels, None, None, training=True, eps=1e-8).view_as(self.weight)
        return F.conv2d(
            pad_same(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride
        )


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-5)


class Stem(nn.Module):
    """To a quarter of the size."""

    def __init__(self):
        super().__init__()
        self.conv = StdConv2d(3, 64, 7, stride=2)
        self.norm = norm(64)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)


class Downsample(nn.Module):
    """The shortcut of a stage's first block."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = StdConv2d(in_channels, out_channels, 1, stride)
        self.norm = norm(out_channels)

    def forward(self, x):
        return self.norm(self.conv(x))


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
        hidden = F.relu(self.norm1(self.conv1(x)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        return F.relu(self.norm3(self.conv3(hidden)) + self.downsample(x))


class Stage(nn.Module):
    """Bottlenecks of one size."""

    def __init__(self, in_channels, num_blocks, channels, stride):
        super().__init__()
        blocks = [
            Bottleneck(channels if i else in_channels, channels, 1 if i else stride, i == 0)
            for i in range(num_blocks)
        ]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        return self.blocks(x)


class ResNet(nn.Module):
    """Maps at strides 4, 8 and 16."""

    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.stages = nn.ModuleList(
            Stage(STAGES[i - 1][1] if i else 64, *stage) for i, stage in enumerate(STAGES)
        )

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class PatchEmbed(nn.Module):
    """Tokens from the deepest map of the ResNet; its other maps go along."""

    def __init__(self):
        super().__init__()
        self.backbone = ResNet()
        self.proj = nn.Conv2d(STAGES[-1][1], WIDTH, 1)

    def forward(self, x):
        *shallow, deep = self.backbone(x)
        return shallow, self.proj(deep).flatten(2).transpose(1, 2)  # (N, H W / 256, 768)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (
            self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        )  # each (N, heads, tokens, 64)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH, eps=1e-6), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH, eps=1e-6), MLP()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Maps of the ResNet at strides 4 and 8, and the tokens behind two of the blocks; `norm` and `head` are only in the file."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, WIDTH))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, 1000)

    def position(self, height: int, width: int):
        """The embedding for a grid of `height` x `width` tokens, (1, 1 + height width, 768)."""
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (GRID, GRID))
        grid = F.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def forward(self, x):
        shallow, tokens = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + self.position(x.shape[2] // PATCH, x.shape[3] // PATCH)
        taps = []
        for block in self.blocks:
            tokens = block(tokens)
            taps.append(tokens)
        return *shallow, *(taps[i] for i in TAPS)


class Readout(nn.Module):
    """Mix what the class token knows into every other one, and drop it."""

    def __init__(self):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.GELU())

    def forward(self, tokens):
        cls = tokens[:, :1].expand(-1, tokens.shape[1] - 1, -1)
        return self.project(torch.cat([tokens[:, 1:], cls], dim=2))


class Reassemble(nn.ModuleDict):
    """Tokens -> map (N, 768, H / 16, W / 16), or half of that; the keys are positions in the published file."""

    def __init__(self, halve):
        super().__init__({"0": Readout(), "3": nn.Conv2d(WIDTH, WIDTH, 1)})
        if halve:
            self["4"] = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def forward(self, tokens, height, width):
        x = self["3"](self["0"](tokens).transpose(1, 2).unflatten(2, (height, width)))
        return self["4"](x) if "4" in self else x


class ResidualConvUnit(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.conv2 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def upscale(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class FeatureFusion(nn.Module):
    """Add a shallower map to the path from below and double the size (Ranftl et al. 2021, Fig. 1)."""

    def __init__(self):
        super().__init__()
        self.out_conv = nn.Conv2d(FEATURES, FEATURES, 1)
        self.resConfUnit1 = ResidualConvUnit()
        self.resConfUnit2 = ResidualConvUnit()

    def forward(self, path, shallower=None):
        if shallower is not None:
            path = path + self.resConfUnit1(shallower)
        return self.out_conv(upscale(self.resConfUnit2(path)))


class Decoder(nn.Module):
    """Four maps -> inverse depth at full size."""

    def __init__(self):
        super().__init__()
        for i, channels in enumerate((STAGES[0][1], STAGES[1][1], WIDTH, WIDTH), start=1):
            setattr(self, f"layer{i}_rn", nn.Conv2d(channels, FEATURES, 3, padding=1, bias=False))
            setattr(self, f"refinenet{i}", FeatureFusion())
        self.output_conv = nn.Sequential(
            nn.Conv2d(FEATURES, FEATURES // 2, 3, padding=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            nn.Conv2d(FEATURES // 2, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, 1),
            nn.ReLU(),
        )

    def forward(self, map1, map2, map3, map4):
        path = self.refinenet4(self.layer4_rn(map4))  # stride 16
        path = self.refinenet3(path, self.layer3_rn(map3))  # 8
        path = self.refinenet2(path, self.layer2_rn(map2))  # 4
        path = self.refinenet1(path, self.layer1_rn(map1))  # 2
        return self.output_conv(path)[:, 0]


class DPTHybrid(nn.Module):
    """Inverse depth; the names are those of `dpt_hybrid-midas-501f0c75.pt`."""

    def __init__(self):
        super().__init__()
        parts = {
            "model": VisionTransformer(),
            "act_postprocess3": Reassemble(halve=False),
            "act_postprocess4": Reassemble(halve=True),
        }
        self.pretrained = nn.ModuleDict(parts)
        self.scratch = Decoder()

    def forward(self, x):
        """RGB in [-1, 1], (N, 3, H, W), H and W multiples of 32 -> (N, H, W), at least 0, larger is nearer."""
        height, width = x.shape[2] // PATCH, x.shape[3] // PATCH
        map1, map2, tokens3, tokens4 = self.pretrained["model"](x)
        map3 = self.pretrained["act_postprocess3"](tokens3, height, width)
        map4 = self.pretrained["act_postprocess4"](tokens4, height, width)
        return self.scratch(map1, map2, map3, map4)
