"""The transformer of OpenCLIP's text half, in the names of its published weights.

Ilharco et al. 2021 (doi 10.5281/zenodo.5143773). Stable Diffusion 2.x reads it.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ldm.modules.encoders.clip_layers import causal_attention
from ldm.modules.encoders.tokenizer import CONTEXT_LENGTH, VOCABULARY_SIZE


class OpenCLIPAttention(nn.Module):
    """Causal self-attention in the names of `nn.MultiheadAttention`, which OpenCLIP uses."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        # Query, key and value in one matrix, one below the other.
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        joined = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (N, L, 3 width)
        q, k, v = joined.chunk(3, dim=-1)  # (N, L, width)
        return self.out_proj(causal_attention(q, k, v, self.heads))  # (N, L, width)


class OpenCLIPMLP(nn.Module):
    """Feed-forward layer with the exact GELU."""

    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        return self.c_proj(F.gelu(self.c_fc(x)))  # (N, L, width)


class OpenCLIPLayer(nn.Module):
    """Attention and feed-forward, each after a layer norm and with a residual."""

    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = OpenCLIPAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = OpenCLIPMLP(width)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        x = x + self.attn(self.ln_1(x))  # (N, L, width)
        return x + self.mlp(self.ln_2(x))  # (N, L, width)


class OpenCLIPTextTower(nn.Module):
    """The parameters of OpenCLIP's text half; `FrozenOpenCLIPEmbedder` runs them.

    `text_projection` and `logit_scale` are kept because published checkpoints hold them. Nothing
    reads them.
    """

    def __init__(self, width, layers, heads):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(CONTEXT_LENGTH, width))
        self.text_projection = nn.Parameter(torch.zeros(width, width))
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            OpenCLIPLayer(width, heads) for _ in range(layers)
        )
        self.token_embedding = nn.Embedding(VOCABULARY_SIZE, width)
        self.ln_final = nn.LayerNorm(width)
        nn.init.normal_(self.positional_embedding, std=0.01)
