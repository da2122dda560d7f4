"""UniFormer-S (Li et al. 2022) under UPerNet (Xiao et al. 2018): labels of the 150 classes of ADE20K for every pixel."""

import torch
from torch import nn
from torch.nn import functional as F

NUM_CLASSES = 150
STAGES = (
    (3, 64),
    (4, 128),
    (8, 320),
    (3, 512),
)  # blocks, channels; the first two convolve, the others attend
HEAD_WIDTH = 64  # channels of an attention head
POOL_SIZES = (1, 2, 3, 6)  # of the pyramid pooling (Zhao et al. 2017)
CHANNELS = 512  # of the decoder


def resize(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def norm_channels(norm, x):
    """Layer norm over the channels of (N, C, H, W)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """Patches that do not overlap, as one vector each."""

    def __init__(self, in_channels, channels, size):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.proj = nn.Conv2d(in_channels, channels, size, stride=size)

    def forward(self, x):
        return norm_channels(self.norm, self.proj(x))


class MLP(nn.Module):
    def __init__(self, fc1, fc2):
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class ConvBlock(nn.Module):
    """Local relations: a depth-wise 5 x 5 convolution in the place of attention."""

    def __init__(self, channels):
        super().__init__()
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.attn = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.mlp = MLP(nn.Conv2d(channels, 4 * channels, 1), nn.Conv2d(4 * channels, channels, 1))

    def forward(self, x):
        x = x + self.pos_embed(x)
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))
        return x + self.mlp(self.norm2(x))


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        q, k, v = (
            self.qkv(x).unflatten(2, (3, -1, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        )  # each (N, heads, tokens, 64)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class AttentionBlock(nn.Module):
    """Global relations: every position attends to every other."""

    def __init__(self, channels):
        super().__init__()
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MLP(nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels))

    def forward(self, x):
        x = x + self.pos_embed(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class UniFormer(nn.Module):
    """Maps of 64, 128, 320 and 512 channels at strides 4, 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        for i, (num_blocks, channels) in enumerate(STAGES, start=1):
            block = ConvBlock if i < 3 else AttentionBlock
            setattr(
                self,
                f"patch_embed{i}",
                PatchEmbed(3 if i == 1 else STAGES[i - 2][1], channels, 4 if i == 1 else 2),
            )
            setattr(
                self, f"blocks{i}", nn.Sequential(*(block(channels) for _ in range(num_blocks)))
            )
            setattr(self, f"norm{i}", nn.LayerNorm(channels, eps=1e-6))

    def forward(self, x):
        maps = []
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"blocks{i}")(self.get_submodule(f"patch_embed{i}")(x))
            maps.append(
                norm_channels(self.get_submodule(f"norm{i}"), x)
            )  # the next stage gets the map as it is
        return maps


class ConvModule(nn.Module):
    def __init__(self, in_channels, channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class UPerHead(nn.Module):
    """Pyramid pooling on the deepest map, a feature pyramid over all four, class logits at the size of the shallowest."""

    def __init__(self):
        super().__init__()
        *shallow, (_, deepest) = STAGES
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), ConvModule(deepest, CHANNELS, 1))
            for size in POOL_SIZES
        )
        self.bottleneck = ConvModule(deepest + len(POOL_SIZES) * CHANNELS, CHANNELS, 3)
        self.lateral_convs = nn.ModuleList(
            ConvModule(channels, CHANNELS, 1) for _, channels in shallow
        )
        self.fpn_convs = nn.ModuleList(ConvModule(CHANNELS, CHANNELS, 3) for _ in shallow)
        self.fpn_bottleneck = ConvModule(len(STAGES) * CHANNELS, CHANNELS, 3)
        self.conv_seg = nn.Conv2d(CHANNELS, NUM_CLASSES, 1)

    def forward(self, maps):
        *shallow, deep = maps
        top = self.bottleneck(
            torch.cat([deep, *(resize(pool(deep), deep) for pool in self.psp_modules)], dim=1)
        )
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, shallow, strict=True)]
        above = top
        for i in reversed(range(len(laterals))):
            above = laterals[i] = laterals[i] + resize(above, laterals[i])
        levels = [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]
        levels = [resize(x, levels[0]) for x in (*levels, top)]
        return self.conv_seg(self.fpn_bottleneck(torch.cat(levels, dim=1)))


class AuxiliaryHead(nn.Module):
    """A second head that helped to train; it is only in the file."""

    def __init__(self):
        super().__init__()
        self.conv_seg = nn.Conv2d(256, NUM_CLASSES, 1)
        self.convs = nn.Sequential(ConvModule(STAGES[2][1], 256, 3))

    def forward(self, maps):
        return self.conv_seg(self.convs(maps[2]))


class UniformerNetwork(nn.Module):
    """Class logits; the names are those of `upernet_global_small.pth`."""

    def __init__(self):
        super().__init__()
        self.backbone = UniFormer()
        self.decode_head = UPerHead()
        self.auxiliary_head = AuxiliaryHead()

    def forward(self, x):
        """Normalised pixels, (N, 3, H, W), H and W >= 32 -> (N, 150, H // 4, W // 4)."""
        return self.decode_head(self.backbone(x))
