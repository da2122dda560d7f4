"""The transformer that reads the prompt inside the U-Net (Rombach et al. 2022, Sec. 3.3 and appendix E.2.1)."""

import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from ldm.modules.diffusionmodules.util import group_norm, zero_module


class GEGLU(nn.Module):
    """Linear layer gated by the GELU of its second half (Shazeer 2020)."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    """Gated two-layer perceptron, four times as wide inside."""

    def __init__(self, dim, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Dropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, x):
        return self.net(x)


class CrossAttention(nn.Module):
    """Multi-head attention from `x` to `context`, or to itself without one."""

    def __init__(self, query_dim, context_dim=None, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        inner_dim = heads * dim_head
        context_dim = context_dim or query_dim
        self.heads = heads
        self.to_q = nn.Linear(query_dim, inner_dim, bias=False)
        self.to_k = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_v = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_dim, query_dim), nn.Dropout(dropout))

    def forward(self, x, context=None):
        """(N, L, query_dim) and (N, M, context_dim) -> (N, L, query_dim)."""
        context = x if context is None else context
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        out = F.scaled_dot_product_attention(q, k, v)  # (N, heads, L, dim_head)
        return self.to_out(out.transpose(1, 2).flatten(2))


class BasicTransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward; each after a layer norm and with a residual."""

    def __init__(self, dim, heads, dim_head, dropout=0.0, context_dim=None, use_checkpoint=False):
        super().__init__()
        self.attn1 = CrossAttention(dim, None, heads, dim_head, dropout)
        self.ff = FeedForward(dim, dropout)
        self.attn2 = CrossAttention(dim, context_dim, heads, dim_head, dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.use_checkpoint = use_checkpoint

    def forward(self, x, context=None):
        if self.use_checkpoint and self.training:
            return checkpoint(self._forward, x, context, use_reentrant=False)
        return self._forward(x, context)

    def _forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer over the pixels of a feature map: (N, C, H, W) -> (N, C, H, W), the input unchanged at initialisation."""

    def __init__(
        self,
        in_channels,
        heads,
        dim_head,
        depth=1,
        dropout=0.0,
        context_dim=None,
        use_linear=False,
        use_checkpoint=False,
    ):
        super().__init__()
        inner_dim = heads * dim_head
        self.use_linear = (
            use_linear  # SD 2.x projects with linear layers, SD 1.x with 1x1 convolutions
        )
        self.norm = group_norm(in_channels, eps=1e-6)
        self.proj_in = (
            nn.Linear(in_channels, inner_dim)
            if use_linear
            else nn.Conv2d(in_channels, inner_dim, 1)
        )
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner_dim, heads, dim_head, dropout, context_dim, use_checkpoint)
            for _ in range(depth)
        )
        self.proj_out = zero_module(
            nn.Linear(inner_dim, in_channels)
            if use_linear
            else nn.Conv2d(inner_dim, in_channels, 1)
        )

    def forward(self, x, context=None):
        height = x.shape[2]
        y = self.norm(x)
        if not self.use_linear:
            y = self.proj_in(y)
        y = y.flatten(2).transpose(1, 2)  # (N, H*W, inner_dim)
        if self.use_linear:
            y = self.proj_in(y)
        for block in self.transformer_blocks:
            y = block(y, context)
        if self.use_linear:
            y = self.proj_out(y)
        y = y.transpose(1, 2).unflatten(2, (height, -1))  # (N, inner_dim, H, W)
        if not self.use_linear:
            y = self.proj_out(y)
        return x + y
