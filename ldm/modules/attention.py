"""The transformer that reads the prompt inside the U-Net.

Rombach et al. 2022, Sec. 3.3 and appendix E.2.1.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import nn
from torch.utils.checkpoint import checkpoint

from ldm.modules.diffusionmodules.util import LayerNorm, group_norm, rows_for, zero_module


class GEGLU(nn.Module):
    """Linear layer gated by the GELU of its second half (Shazeer 2020)."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.proj = nn.Linear(dim_in, 2 * dim_out)  # both halves in one product

    def forward(self, x):
        """(N, L, dim_in) -> (N, L, dim_out)."""
        x, gate = self.proj(x).chunk(2, dim=-1)  # (N, L, dim_out) each
        return x * F.gelu(gate)  # (N, L, dim_out)


class FeedForward(nn.Module):
    """Gated two-layer perceptron, four times as wide inside."""

    def __init__(self, dim, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Dropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, x):
        """(N, L, dim) -> (N, L, dim)."""
        return self.net(x)  # (N, L, dim)


class CrossAttention(nn.Module):
    """Multi-head attention from `x` to `context`, or to itself without one.

    Args:
        query_dim, context_dim: width of `x` and of `context`; the same when not given.
        heads, dim_head: number of heads and width of each.
    """

    def __init__(self, query_dim, context_dim=None, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        inner_dim = heads * dim_head
        context_dim = context_dim or query_dim
        # Rombach et al. 2022, Sec. 3.3: Q = W_Q phi(x), K = W_K tau(y), V = W_V tau(y).
        self.heads = heads
        self.to_q = nn.Linear(query_dim, inner_dim, bias=False)
        self.to_k = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_v = nn.Linear(context_dim, inner_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_dim, query_dim), nn.Dropout(dropout))

    def forward(self, x, context=None):
        """(N, L, query_dim) and (N, M, context_dim) -> (N, L, query_dim)."""
        context = x if context is None else context  # (N, M, context_dim)
        q, k, v = (
            rearrange(y, "n l (heads d) -> n heads l d", heads=self.heads)
            for y in (self.to_q(x), self.to_k(context), self.to_v(context))
        )  # (N, heads, L, d), twice (N, heads, M, d)
        # softmax(Q K^T / sqrt(d)) V. No mask: the pads of a short prompt are attended to as well.
        out = F.scaled_dot_product_attention(q, k, v)  # (N, heads, L, d)
        return self.to_out(rearrange(out, "n heads l d -> n l (heads d)"))  # (N, L, query_dim)


class BasicTransformerBlock(nn.Module):
    """Self-attention, attention to the text, feed-forward; each after a layer norm, residual.

    Args:
        dim: width of the tokens, `heads * dim_head` in this family.
        use_checkpoint: compute the block again in the backward pass instead of keeping its
            activations: less memory, more time.
    """

    def __init__(self, dim, heads, dim_head, dropout=0.0, context_dim=None, use_checkpoint=False):
        super().__init__()
        # The order of these lines decides which random numbers initialise which weights.
        self.attn1 = CrossAttention(dim, None, heads, dim_head, dropout)
        self.ff = FeedForward(dim, dropout)
        self.attn2 = CrossAttention(dim, context_dim, heads, dim_head, dropout)
        self.norm1 = LayerNorm(dim)
        self.norm2 = LayerNorm(dim)
        self.norm3 = LayerNorm(dim)
        self.use_checkpoint = use_checkpoint

    def forward(self, x, context=None):
        """Tokens (N, L, dim) and text (k N, 77, context_dim) -> (k N, L, dim)."""
        if self.use_checkpoint and self.training:
            return checkpoint(self._forward, x, context, use_reentrant=False)  # (k N, L, dim)
        return self._forward(x, context)  # (k N, L, dim)

    def _forward(self, x, context):
        x = x + self.attn1(self.norm1(x))  # (N, L, dim)
        if context is not None:
            x = rows_for(x, context)  # (k N, L, dim)
        x = x + self.attn2(self.norm2(x), context)  # (k N, L, dim)
        return x + self.ff(self.norm3(x))  # (k N, L, dim)


class SpatialTransformer(nn.Module):
    """Transformer over the pixels of a feature map; the identity at initialisation.

    Args:
        in_channels: channels of the map.
        heads, dim_head: number of heads and width of each; their product is the tokens' width.
        depth: number of transformer blocks.
        use_linear: project with linear layers as SD 2.x does; SD 1.x uses 1x1 convolutions. The
            result is the same, the shapes of the published weights differ.
    """

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
        self.use_linear = use_linear
        self.norm = group_norm(in_channels, eps=1e-6)

        def projection(channels, out_channels):
            if use_linear:
                return nn.Linear(channels, out_channels)
            return nn.Conv2d(channels, out_channels, 1)

        self.proj_in = projection(in_channels, inner_dim)
        self.transformer_blocks = nn.ModuleList(
            BasicTransformerBlock(inner_dim, heads, dim_head, dropout, context_dim, use_checkpoint)
            for _ in range(depth)
        )
        # Zero, so that a fresh transformer returns its input.
        self.proj_out = zero_module(projection(inner_dim, in_channels))

    def forward(self, x, context=None):
        """Features (N, C, H, W) and text (k N, 77, context_dim) -> (k N, C, H, W)."""
        height = x.shape[2]
        y = self.norm(x)  # (N, C, H, W)
        if not self.use_linear:
            y = self.proj_in(y)  # (N, inner_dim, H, W)
        y = rearrange(y, "n c h w -> n (h w) c")  # (N, H*W, inner_dim), or C with use_linear
        if self.use_linear:
            y = self.proj_in(y)  # (N, H*W, inner_dim)
        for block in self.transformer_blocks:
            y = block(y, context)  # (k N, H*W, inner_dim)
        if self.use_linear:
            y = self.proj_out(y)  # (k N, H*W, C)
        y = rearrange(y, "n (h w) c -> n c h w", h=height)  # (k N, inner_dim, H, W), or C
        if not self.use_linear:
            y = self.proj_out(y)  # (k N, C, H, W)
        return rows_for(x, y) + y  # (k N, C, H, W)
