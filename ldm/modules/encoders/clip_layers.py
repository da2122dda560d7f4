"""The transformer of CLIP's text half, in the names of its published weights.

Radford et al. 2021. Stable Diffusion 1.x reads it.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from ldm.modules.encoders.tokenizer import CONTEXT_LENGTH, VOCABULARY_SIZE


def causal_attention(q, k, v, heads):
    """Attention of each token to itself and those before it, (N, L, C); pads are not masked.

    Args:
        q, k, v: (N, L, C).
        heads: number of heads, which share the C channels.
    """
    q, k, v = (
        rearrange(y, "n l (heads d) -> n heads l d", heads=heads) for y in (q, k, v)
    )  # (N, heads, L, d)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (N, heads, L, d)
    return rearrange(y, "n heads l d -> n l (heads d)")  # (N, L, C)


class CLIPAttention(nn.Module):
    """Causal self-attention in CLIP's names."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)  # (N, L, width)
        return self.out_proj(causal_attention(q, k, v, self.heads))  # (N, L, width)


class CLIPMLP(nn.Module):
    """Feed-forward layer with the 'quick' GELU that these weights were trained with."""

    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        x = self.fc1(x)  # (N, L, 4 width)
        # x sigmoid(1.702 x) approximates the GELU (Hendrycks & Gimpel 2016, Sec. 2).
        return self.fc2(x * torch.sigmoid(1.702 * x))  # (N, L, width)


class CLIPLayer(nn.Module):
    """Attention and feed-forward, each after a layer norm and with a residual."""

    def __init__(self, width, heads):
        super().__init__()
        self.self_attn = CLIPAttention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = CLIPMLP(width)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x):
        """(N, L, width) -> (N, L, width)."""
        x = x + self.self_attn(self.layer_norm1(x))  # (N, L, width)
        return x + self.mlp(self.layer_norm2(x))  # (N, L, width)


class CLIPTextTransformer(nn.Module):
    """The transformer in CLIP's names; the final norm is left to the caller."""

    def __init__(self, width, layers, heads):
        super().__init__()
        self.embeddings = nn.Module()  # bare modules give the published names their dots
        self.embeddings.token_embedding = nn.Embedding(VOCABULARY_SIZE, width)
        self.embeddings.position_embedding = nn.Embedding(CONTEXT_LENGTH, width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(CLIPLayer(width, heads) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, tokens):
        """Ids (N, 77) -> states before each layer and after the last, each (N, 77, width)."""
        positions = self.embeddings.position_embedding.weight[: tokens.shape[1]]  # (77, width)
        states = [self.embeddings.token_embedding(tokens) + positions]  # (N, 77, width)
        for layer in self.encoder.layers:
            states.append(layer(states[-1]))  # (N, 77, width)
        return states
