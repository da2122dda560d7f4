"""DPT-Hybrid (Ranftl et al. 2021): a vision transformer on a ResNet, with a convolutional decoder.

Shapes below are for pictures of H x W pixels and L = H W / 256 tokens, without the class token.
"""

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from annotator.midas.resnet import STAGES, ResNet

WIDTH, DEPTH, HEADS = 768, 12, 12  # of the transformer
PATCH = 16  # pixels per token
GRID = 24  # tokens per side of the position embedding: 384 pixels
TAPS = (8, 11)  # transformer blocks that the decoder reads, counted from 0
FEATURES = 256  # channels of the decoder
# In the published file: layers behind the last block, which depth does not use.
UNUSED = ("pretrained.model.norm.", "pretrained.model.head.")


class PatchEmbed(nn.Module):
    """Tokens from the deepest map of the ResNet."""

    def __init__(self):
        super().__init__()
        self.backbone = ResNet()
        self.proj = nn.Conv2d(STAGES[-1][1], WIDTH, 1)

    def forward(self, x):
        """(N, 3, H, W) -> the ResNet's maps at strides 4 and 8, and tokens (N, L, 768)."""
        *shallow, deep = self.backbone(x)  # deep: (N, 1024, H / 16, W / 16)
        return shallow, rearrange(self.proj(deep), "n c h w -> n (h w) c")  # (N, L, 768)


class Attention(nn.Module):
    """Self-attention with twelve heads of 64 channels."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        """Tokens (N, 1 + L, 768) -> tokens of the same shape."""
        q, k, v = rearrange(
            self.qkv(x), "n l (three heads d) -> three n heads l d", three=3, heads=HEADS
        )  # each (N, heads, 1 + L, 64)
        x = F.scaled_dot_product_attention(q, k, v)  # (N, heads, 1 + L, 64)
        return self.proj(rearrange(x, "n heads l d -> n l (heads d)"))  # (N, 1 + L, 768)


class MLP(nn.Module):
    """Two linear layers on every token, the hidden one four times as wide."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        """Tokens (N, 1 + L, 768) -> tokens of the same shape."""
        hidden = F.gelu(self.fc1(x))  # (N, 1 + L, 3072)
        return self.fc2(hidden)  # (N, 1 + L, 768)


class Block(nn.Module):
    """A transformer block that normalises before attention and before the MLP."""

    def __init__(self):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH, eps=1e-6), Attention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH, eps=1e-6), MLP()

    def forward(self, x):
        """Tokens (N, 1 + L, 768) -> tokens of the same shape."""
        x = x + self.attn(self.norm1(x))  # (N, 1 + L, 768)
        return x + self.mlp(self.norm2(x))  # (N, 1 + L, 768)


class VisionTransformer(nn.Module):
    """Transformer on the tokens of a ResNet."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID * GRID, WIDTH))
        self.patch_embed = PatchEmbed()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))

    def position(self, height: int, width: int):
        """Position embedding for a grid of `height` x `width` tokens, (1, 1 + L, 768)."""
        cls, grid = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        grid = rearrange(grid, "1 (h w) c -> 1 c h w", h=GRID)  # (1, 768, 24, 24)
        grid = F.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
        grid = rearrange(grid, "1 c h w -> 1 (h w) c")  # (1, L, 768)
        return torch.cat([cls, grid], dim=1)  # (1, 1 + L, 768)

    def forward(self, x):
        """Maps of the ResNet, and tokens after the blocks that `TAPS` names.

        Args:
            x: (N, 3, H, W).
        Returns:
            (N, 256, H / 4, W / 4), (N, 512, H / 8, W / 8), and twice (N, 1 + L, 768).
        """
        shallow, tokens = self.patch_embed(x)  # two maps, and (N, L, 768)
        cls = self.cls_token.expand(len(x), -1, -1)  # (N, 1, 768)
        tokens = torch.cat([cls, tokens], dim=1)  # (N, 1 + L, 768)
        height, width = x.shape[2] // PATCH, x.shape[3] // PATCH
        tokens = tokens + self.position(height, width)  # (N, 1 + L, 768)
        taps = []
        for i, block in enumerate(self.blocks):
            tokens = block(tokens)  # (N, 1 + L, 768)
            if i in TAPS:
                taps.append(tokens)
        return *shallow, *taps


class Readout(nn.Module):
    """The tokens of the picture, each mixed with the class token, which is dropped."""

    def __init__(self):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.GELU())

    def forward(self, tokens):
        """(N, 1 + L, 768) -> (N, L, 768)."""
        cls = tokens[:, :1].expand(-1, tokens.shape[1] - 1, -1)  # (N, L, 768)
        return self.project(torch.cat([tokens[:, 1:], cls], dim=2))  # (N, L, 768)


class Reassemble(nn.ModuleDict):
    """A map from tokens, at stride 16 or, if it is to be halved, 32.

    The keys "0", "3" and "4" are positions in the published file.
    """

    def __init__(self, halve):
        super().__init__({"0": Readout(), "3": nn.Conv2d(WIDTH, WIDTH, 1)})
        if halve:
            self["4"] = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1)

    def forward(self, tokens, height, width):
        """Tokens (N, 1 + height width, 768) -> (N, 768, height, width) or half of that size."""
        tokens = self["0"](tokens)  # (N, L, 768)
        x = rearrange(tokens, "n (h w) c -> n c h w", h=height, w=width)  # (N, 768, height, width)
        x = self["3"](x)  # (N, 768, height, width)
        return self["4"](x) if "4" in self else x  # (N, 768, height, width) or half


class ResidualConvUnit(nn.Module):
    """Two convolutions, each after a ReLU, and a shortcut."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.conv2 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x):
        """(N, 256, h, w) -> (N, 256, h, w)."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))  # (N, 256, h, w)


def upscale(x):
    """(N, C, h, w) at double the size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class FeatureFusion(nn.Module):
    """Add a shallower map to the path and double its size (Ranftl et al. 2021, Fig. 1)."""

    def __init__(self):
        super().__init__()
        self.out_conv = nn.Conv2d(FEATURES, FEATURES, 1)
        self.resConfUnit1 = ResidualConvUnit()
        self.resConfUnit2 = ResidualConvUnit()

    def forward(self, path, shallower=None):
        """One or two maps (N, 256, h, w) -> (N, 256, 2 h, 2 w)."""
        if shallower is not None:
            path = path + self.resConfUnit1(shallower)  # (N, 256, h, w)
        return self.out_conv(upscale(self.resConfUnit2(path)))  # (N, 256, 2 h, 2 w)


class Decoder(nn.Module):
    """Inverse depth at full size from maps at four scales."""

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
        """Maps at strides 4, 8, 16 and 32 -> (N, H, W)."""
        path = self.refinenet4(self.layer4_rn(map4))  # (N, 256, H / 16, W / 16)
        path = self.refinenet3(path, self.layer3_rn(map3))  # (N, 256, H / 8, W / 8)
        path = self.refinenet2(path, self.layer2_rn(map2))  # (N, 256, H / 4, W / 4)
        path = self.refinenet1(path, self.layer1_rn(map1))  # (N, 256, H / 2, W / 2)
        return rearrange(self.output_conv(path), "n 1 h w -> n h w")  # (N, H, W)


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
        """Inverse depth (N, H, W), at least 0; larger is nearer.

        Args:
            x: RGB in [-1, 1], (N, 3, H, W); H and W are multiples of 32.
        """
        height, width = x.shape[2] // PATCH, x.shape[3] // PATCH
        # (N, 256, H / 4, W / 4), (N, 512, H / 8, W / 8), and twice (N, 1 + L, 768)
        map1, map2, tokens3, tokens4 = self.pretrained["model"](x)
        map3 = self.pretrained["act_postprocess3"](tokens3, height, width)  # (N, 768, H / 16, ...)
        map4 = self.pretrained["act_postprocess4"](tokens4, height, width)  # (N, 768, H / 32, ...)
        return self.scratch(map1, map2, map3, map4)  # (N, H, W)
