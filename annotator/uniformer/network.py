"""UniFormer-S (Li et al. 2022) with the decoder of UPerNet (Xiao et al. 2018).

It gives logits of the 150 classes of ADE20K for every pixel. The tensors' names are those of the
published file, which mmsegmentation wrote.
"""

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

NUM_CLASSES = 150
STAGES = ((3, 64), (4, 128), (8, 320), (3, 512))  # blocks, channels; the last two use attention
HEAD_WIDTH = 64  # channels of an attention head
POOL_SIZES = (1, 2, 3, 6)  # of the pyramid pooling (Zhao et al. 2017)
CHANNELS = 512  # of the decoder
UNUSED = ("auxiliary_head.",)  # in the published file: a second head, which only training ran


def resize(x, like):
    """(N, C, h, w) at the height and width of the map `like`."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def norm_channels(norm, x):
    """Layer norm over the channels of (N, C, h, w)."""
    # `nn.LayerNorm` works on the last dimension.
    return rearrange(norm(rearrange(x, "n c h w -> n h w c")), "n h w c -> n c h w")


class PatchEmbed(nn.Module):
    """One vector for each patch; patches do not overlap."""

    def __init__(self, in_channels, channels, size):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.proj = nn.Conv2d(in_channels, channels, size, stride=size)

    def forward(self, x):
        """(N, in, h, w) -> (N, channels, h // size, w // size)."""
        return norm_channels(self.norm, self.proj(x))  # (N, channels, h // size, w // size)


class MLP(nn.Module):
    """Two layers, 1 x 1 convolutions or linear ones, with a GELU between them."""

    def __init__(self, fc1, fc2):
        super().__init__()
        self.fc1, self.fc2 = fc1, fc2

    def forward(self, x):
        """Maps (N, C, h, w) or tokens (N, h w, C) -> the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))  # (N, C, h, w) or (N, h w, C)


class ConvBlock(nn.Module):
    """A block for local relations: a depth-wise 5 x 5 convolution takes the place of attention."""

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
        """(N, C, h, w) -> (N, C, h, w); Eq. 1, 2 and 3 of Li et al. 2022."""
        x = x + self.pos_embed(x)  # (N, C, h, w), position from the zeros of the padding
        x = x + self.conv2(self.attn(self.conv1(self.norm1(x))))  # (N, C, h, w)
        return x + self.mlp(self.norm2(x))  # (N, C, h, w)


class Attention(nn.Module):
    """Self-attention with heads of 64 channels."""

    def __init__(self, channels):
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        """Tokens (N, L, C) -> tokens of the same shape."""
        q, k, v = rearrange(
            self.qkv(x), "n l (three heads d) -> three n heads l d", three=3, d=HEAD_WIDTH
        )  # each (N, heads, L, 64)
        x = F.scaled_dot_product_attention(q, k, v)  # (N, heads, L, 64)
        return self.proj(rearrange(x, "n heads l d -> n l (heads d)"))  # (N, L, C)


class AttentionBlock(nn.Module):
    """A block for global relations: every position attends to every other."""

    def __init__(self, channels):
        super().__init__()
        self.pos_embed = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = Attention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MLP(nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels))

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w); Eq. 1, 2 and 3 of Li et al. 2022."""
        x = x + self.pos_embed(x)  # (N, C, h, w)
        tokens = rearrange(x, "n c h w -> n (h w) c")  # (N, L, C)
        tokens = tokens + self.attn(self.norm1(tokens))  # (N, L, C)
        tokens = tokens + self.mlp(self.norm2(tokens))  # (N, L, C)
        return rearrange(tokens, "n (h w) c -> n c h w", h=x.shape[2])  # (N, C, h, w)


class UniFormer(nn.Module):
    """Encoder with maps at strides 4, 8, 16 and 32."""

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
        """(N, 3, H, W) -> maps (N, C, H / s, W / s), C = 64, 128, 320, 512, s = 4, 8, 16, 32."""
        maps = []
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"patch_embed{i}")(x)  # (N, C, H / s, W / s)
            x = self.get_submodule(f"blocks{i}")(x)  # (N, C, H / s, W / s)
            # Only what goes to the decoder is normalised; the next stage gets `x` itself.
            maps.append(norm_channels(self.get_submodule(f"norm{i}"), x))  # (N, C, H / s, W / s)
        return maps


class ConvModule(nn.Module):
    """Convolution that keeps the size, batch norm, ReLU."""

    def __init__(self, in_channels, channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        """(N, in, h, w) -> (N, channels, h, w)."""
        return F.relu(self.bn(self.conv(x)))  # (N, channels, h, w)


class UPerHead(nn.Module):
    """Pyramid pooling on the deepest map, then a feature pyramid over all four maps."""

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
        """The four maps of `UniFormer` -> class logits (N, 150, H / 4, W / 4)."""
        *shallow, deep = maps  # deep: (N, 512, H / 32, W / 32)
        # Means over 1, 4, 9 and 36 regions tell every position what the whole picture shows.
        pooled = [resize(pool(deep), deep) for pool in self.psp_modules]  # each like `deep`
        top = self.bottleneck(torch.cat([deep, *pooled], dim=1))  # (N, 512, H / 32, W / 32)
        # Each map of the encoder at 512 channels: (N, 512, H / s, W / s), s = 4, 8, 16.
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, shallow, strict=True)]
        above = top
        for i in reversed(range(len(laterals))):  # from deep to shallow
            above = laterals[i] = laterals[i] + resize(above, laterals[i])  # (N, 512, H / s, ...)
        levels = [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=True)]
        levels = [resize(x, levels[0]) for x in (*levels, top)]  # each (N, 512, H / 4, W / 4)
        x = self.fpn_bottleneck(torch.cat(levels, dim=1))  # (N, 512, H / 4, W / 4)
        return self.conv_seg(x)  # (N, 150, H / 4, W / 4)


class UniformerNetwork(nn.Module):
    """Class logits; the names are those of `upernet_global_small.pth`."""

    def __init__(self):
        super().__init__()
        self.backbone = UniFormer()
        self.decode_head = UPerHead()

    def forward(self, x):
        """Class logits (N, 150, H // 4, W // 4).

        Args:
            x: normalised pixels, (N, 3, H, W); H and W are at least 32.
        """
        return self.decode_head(self.backbone(x))  # (N, 150, H // 4, W // 4)
