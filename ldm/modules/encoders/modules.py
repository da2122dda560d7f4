"""The frozen text encoders: CLIP ViT-L/14 (SD 1.x) and OpenCLIP ViT-H/14 (SD 2.x).

Both are causal pre-norm transformers (Radford et al. 2021). They differ in the names of their
published weights, in the activation and in the layer that is read.
"""

import torch
from einops import rearrange
from torch import nn

from ldm.modules.encoders.clip_layers import CLIPTextTransformer
from ldm.modules.encoders.open_clip_layers import OpenCLIPTextTower
from ldm.modules.encoders.tokenizer import CONTEXT_LENGTH, EOS, tokenize, tokenize_chunks


class TextEncoder(nn.Module):
    """Base of both encoders: tokenizes texts and hands them to `encode_tokens`.

    Args:
        pad: token id after the end of the text.
        max_length: stands in published configurations; always 77, the number of positions.
    Raises:
        ValueError: another `max_length`.

    Attributes:
        chunks: parts of 75 tokens that a prompt has room for. With more than one, their contexts
            stand one behind the other, and a longer prompt is an error.
    """

    chunks = 1

    def __init__(self, pad, max_length=CONTEXT_LENGTH):
        super().__init__()
        if max_length != CONTEXT_LENGTH:
            raise ValueError(
                f"max_length {max_length}: the positions of this encoder are {CONTEXT_LENGTH}"
            )
        self.pad = pad

    def freeze(self):
        """Switch dropout and gradients off."""
        self.eval()
        self.requires_grad_(False)

    def forward(self, texts):
        """List of N prompts -> context (N, 77, width), or (N, 77 * chunks, width).

        Raises:
            ValueError: more than one chunk, and a prompt too long for them.
        """
        device = next(self.parameters()).device
        if self.chunks == 1:
            return self.encode_tokens(tokenize(list(texts), self.pad).to(device))  # (N, 77, width)
        tokens = tokenize_chunks(list(texts), self.pad, self.chunks)  # (N, chunks, 77)
        tokens = rearrange(tokens, "n k l -> (n k) l").to(device)  # (N * chunks, 77)
        context = self.encode_tokens(tokens)  # (N * chunks, 77, width)
        return rearrange(context, "(n k) l c -> n (k l) c", k=self.chunks)  # (N, k * 77, width)

    encode = forward  # the name that notebooks call


class FrozenCLIPEmbedder(TextEncoder):
    """SD 1.x text encoder, CLIP ViT-L/14 by default; the nano model sets its own size.

    Args:
        layer: `last`, all states after the final norm, which SD 1.x reads; `pooled`, of those the
            one at the first end token, (N, 1, width); or `hidden`, the states before layer
            `layer_idx`, without the final norm.
        freeze: whether to freeze the encoder.
        width, layers, heads: size of the transformer.
        version, device: stand in published configurations and are not read.
        max_length: as in `TextEncoder`.
    Raises:
        ValueError: unknown `layer`, `hidden` without a `layer_idx` in reach, another `max_length`.

    Attributes:
        clip_skip: for layer `last`, the final norm reads the states before the last
            `clip_skip - 1` layers; 0 and 1 skip none.
    """

    clip_skip = 0

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
        super().__init__(EOS, max_length)
        if layer not in ("last", "pooled", "hidden"):
            raise ValueError(f"layer {layer!r}: expected last, pooled or hidden")
        if layer == "hidden" and (layer_idx is None or abs(layer_idx) > layers):
            raise ValueError(
                f"layer_idx {layer_idx}: expected a number within -{layers}..{layers} "
                "for layer hidden"
            )
        self.layer, self.layer_idx = layer, layer_idx
        self.transformer = nn.Module()
        self.transformer.text_model = CLIPTextTransformer(width, layers, heads)
        self.register_load_state_dict_pre_hook(_accept_other_names)
        if freeze:
            self.freeze()

    def encode_tokens(self, tokens):
        """Ids (N, 77) -> context (N, 77, width), or (N, 1, width) for layer `pooled`."""
        states = self.transformer.text_model(tokens)  # (N, 77, width) each
        if self.layer == "hidden":
            return states[self.layer_idx]  # (N, 77, width)
        skipped = max(self.clip_skip - 1, 0) if self.layer == "last" else 0
        if skipped >= len(states):
            raise ValueError(f"clip_skip {self.clip_skip}, expected at most {len(states)}")
        z = states[-1 - skipped]  # (N, 77, width)
        z = self.transformer.text_model.final_layer_norm(z)  # (N, 77, width)
        if self.layer == "pooled":
            # The pads are end tokens too, and argmax gives the first of equal values.
            first_end = (tokens == EOS).int().argmax(dim=1)  # (N,)
            z = z[torch.arange(len(z), device=z.device), first_end][:, None]  # (N, 1, width)
        return z


def _accept_other_names(module, state_dict, prefix, *_):
    """Rename what other programs name differently, before loading.

    Older checkpoints carry the constant `position_ids`; converted ones lack the part `text_model.`
    """
    start = f"{prefix}transformer."
    for key in [key for key in state_dict if key.startswith(start)]:
        if key.endswith("embeddings.position_ids"):
            del state_dict[key]
        elif not key.startswith(f"{start}text_model."):
            state_dict[f"{start}text_model.{key.removeprefix(start)}"] = state_dict.pop(key)


class FrozenOpenCLIPEmbedder(TextEncoder):
    """SD 2.x text encoder, OpenCLIP ViT-H/14 by default.

    Args:
        arch: always `ViT-H-14`.
        layer: `penultimate`, all layers but the last, then the final norm, which SD 2.x reads; or
            `last`.
        Others as in `FrozenCLIPEmbedder`.
    Raises:
        ValueError: unknown `layer`, another architecture than ViT-H-14, another `max_length`.
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
        # open_clip pads with 0; SD 1.x repeats the end token instead.
        super().__init__(0, max_length)
        if arch != "ViT-H-14":
            raise ValueError(f"arch {arch!r}: expected ViT-H-14")
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
        x = model.token_embedding(tokens) + model.positional_embedding  # (N, 77, width)
        layers = model.transformer.resblocks
        for layer in layers[: len(layers) - self.skipped_layers]:
            x = layer(x)  # (N, 77, width)
        # The final norm follows even where the last layer is skipped: SD 2.x was trained so.
        return model.ln_final(x)  # (N, 77, width)


def _fill_unused_tensors(module, state_dict, prefix, *_):
    """Add the two tensors that conditioning never reads where a converted checkpoint lacks them."""
    for name in ("text_projection", "logit_scale"):
        state_dict.setdefault(f"{prefix}model.{name}", getattr(module.model, name).detach())
