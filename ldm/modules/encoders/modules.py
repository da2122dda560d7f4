"""The frozen text encoders: CLIP ViT-L/14 (SD 1.x) and OpenCLIP ViT-H/14 (SD 2.x), under their published names.

Both are causal pre-norm transformers (Radford et al. 2021); they differ in names, activation and which layer is read.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ldm.modules.encoders.tokenizer import CONTEXT_LENGTH, EOS, VOCABULARY_SIZE, tokenize


def causal_attention(q, k, v, heads):
    """Each token attends to itself and those before it; pads are not masked. (N, L, C) each -> (N, L, C)."""
    q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


class TextEncoder(nn.Module):
    """What the encoders share: tokens in, states out, frozen.

    Args:
        pad: token id after the end of the text.
    """

    def __init__(self, pad):
        super().__init__()
        self.pad = pad

    def freeze(self):
        self.eval()
        self.requires_grad_(False)

    def forward(self, texts):
        """List of N prompts -> context (N, 77, width)."""
        tokens = tokenize(list(texts), self.pad)
        return self.encode_tokens(tokens.to(next(self.parameters()).device))

    encode = forward  # the name that notebooks call


class CLIPAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        return self.out_proj(
            causal_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads)
        )


class CLIPMLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        x = self.fc1(x)
        return self.fc2(
            x * torch.sigmoid(1.702 * x)
        )  # the 'quick' GELU that these weights were trained with


class CLIPLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.self_attn = CLIPAttention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = CLIPMLP(width)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class CLIPTextTransformer(nn.Module):
    """Token ids (N, 77) -> states before each layer and after the last, all without the final norm."""

    def __init__(self, width, layers, heads):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token_embedding = nn.Embedding(VOCABULARY_SIZE, width)
        self.embeddings.position_embedding = nn.Embedding(CONTEXT_LENGTH, width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(CLIPLayer(width, heads) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, tokens):
        x = (
            self.embeddings.token_embedding(tokens)
            + self.embeddings.position_embedding.weight[: tokens.shape[1]]
        )
        states = [x]
        for layer in self.encoder.layers:
            states.append(layer(states[-1]))
        return states


class FrozenCLIPEmbedder(TextEncoder):
    """SD 1.x text encoder, CLIP ViT-L/14 by default; the nano model sets its own size.

    Args:
        layer: `last` (all states after the final norm, what SD 1.x reads), `pooled` (of those the one at the first end
            token, (N, 1, width)) or `hidden` (the states before layer `layer_idx`, without the final norm).
        width, layers, heads: size of the transformer.
        version, device, max_length: stand in published configurations; the size is given here, the device is the model's.
    Raises:
        ValueError: unknown `layer`, `hidden` without a `layer_idx` in reach, a `max_length` other than 77.
    """

    def __init__(
        self,
        version=None,
        device=None,
        max_length=CONTEXT_LENGTH,
        freeze=True,
        layer="last",
        layer_idx=None,
        width=768,
        layers=12,
        heads=12,
    ):
        super().__init__(pad=EOS)
        if max_length != CONTEXT_LENGTH:
            raise ValueError(
                f"max_length {max_length}: the positions of this encoder are {CONTEXT_LENGTH}"
            )
        if layer not in ("last", "pooled", "hidden"):
            raise ValueError(f"layer {layer!r}: expected last, pooled or hidden")
        if layer == "hidden" and (layer_idx is None or abs(layer_idx) > layers):
            raise ValueError(
                f"layer_idx {layer_idx}: expected a number within -{layers}..{layers} for layer hidden"
            )
        self.layer, self.layer_idx = layer, layer_idx
        self.transformer = nn.Module()
        self.transformer.text_model = CLIPTextTransformer(width, layers, heads)
        self.register_load_state_dict_pre_hook(_accept_other_names)
        if freeze:
            self.freeze()

    def encode_tokens(self, tokens):
        """Ids (N, 77) -> context (N, 77, width)."""
        states = self.transformer.text_model(tokens)
        if self.layer == "hidden":
            return states[self.layer_idx]
        z = self.transformer.text_model.final_layer_norm(states[-1])
        if self.layer == "pooled":
            first_end = (tokens == EOS).int().argmax(dim=1)
            z = z[torch.arange(len(z), device=z.device), first_end][:, None]
        return z


def _accept_other_names(module, state_dict, prefix, *_):
    """Checkpoints carry the constant `position_ids` (older ones) or lack the part `text_model.` (converted ones)."""
    start = f"{prefix}transformer."
    for key in [key for key in state_dict if key.startswith(start)]:
        if key.endswith("embeddings.position_ids"):
            del state_dict[key]
        elif not key.startswith(f"{start}text_model."):
            state_dict[f"{start}text_model.{key.removeprefix(start)}"] = state_dict.pop(key)


class OpenCLIPAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x):
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return self.out_proj(causal_attention(q, k, v, self.heads))


class OpenCLIPMLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class OpenCLIPLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = OpenCLIPAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = OpenCLIPMLP(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class OpenCLIPTextTower(nn.Module):
    """The text half of OpenCLIP; `text_projection` and `logit_scale` are carried for their names and never used."""

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


class FrozenOpenCLIPEmbedder(TextEncoder):
    """SD 2.x text encoder, OpenCLIP ViT-H/14 by default.

    Args:
        layer: `penultimate` (all layers but the last, then the final norm: what SD 2.x reads) or `last`.
        arch, version, device, max_length: as in `FrozenCLIPEmbedder`.
    Raises:
        ValueError: unknown `layer`, another architecture than ViT-H-14, a `max_length` other than 77.
    """

    def __init__(
        self,
        arch="ViT-H-14",
        version=None,
        device=None,
        max_length=CONTEXT_LENGTH,
        freeze=True,
        layer="penultimate",
        width=1024,
        layers=24,
        heads=16,
    ):
        super().__init__(pad=0)
        if arch != "ViT-H-14":
            raise ValueError(f"arch {arch!r}: expected ViT-H-14")
        if max_length != CONTEXT_LENGTH:
            raise ValueError(
                f"max_length {max_length}: the positions of this encoder are {CONTEXT_LENGTH}"
            )
        if layer not in ("last", "penultimate"):
            raise ValueError(f"layer {layer!r}: expected last or penultimate")
        self.skipped_layers = 1 if layer == "penultimate" else 0
        self.model = OpenCLIPTextTower(width, layers, heads)
        self.register_load_state_dict_pre_hook(_fill_unused_tensors)
        if freeze:
            self.freeze()

    def encode_tokens(self, tokens):
        """Ids (N, 77) -> context (N, 77, width)."""
        model = self.model
        x = model.token_embedding(tokens) + model.positional_embedding
        for layer in model.transformer.resblocks[
            : len(model.transformer.resblocks) - self.skipped_layers
        ]:
            x = layer(x)
        return model.ln_final(x)


def _fill_unused_tensors(module, state_dict, prefix, *_):
    """Converted checkpoints drop the two tensors that conditioning never reads."""
    for name in ("text_projection", "logit_scale"):
        state_dict.setdefault(f"{prefix}model.{name}", getattr(module.model, name).detach())
