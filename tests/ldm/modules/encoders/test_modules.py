"""The text encoders against open_clip's text tower and an independent computation.

Both have the same, reduced size.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ldm.modules.encoders.modules import FrozenCLIPEmbedder, FrozenOpenCLIPEmbedder
from ldm.modules.encoders.tokenizer import EOS, tokenize
from tests.weights import fill_parameters

WIDTH, LAYERS, HEADS = 64, 3, 4
SIZE = {"width": WIDTH, "layers": LAYERS, "heads": HEADS}
PROMPTS = ["electron microscopy, mitochondria", "", "word " * 200]
START = "transformer.text_model."


@pytest.fixture(scope="module")
def clip():
    return fill_parameters(FrozenCLIPEmbedder(**SIZE))


@pytest.fixture(scope="module")
def open_clip_model():
    return fill_parameters(FrozenOpenCLIPEmbedder(**SIZE))


def open_clip_tower(weights, quick_gelu):
    """open_clip's own text tower with `weights` in its names."""
    from open_clip.transformer import QuickGELU, TextTransformer

    tower = TextTransformer(
        width=WIDTH,
        layers=LAYERS,
        heads=HEADS,
        output_dim=WIDTH,
        act_layer=QuickGELU if quick_gelu else torch.nn.GELU,
    )
    _, unexpected = tower.load_state_dict(
        {"text_projection": torch.zeros(WIDTH, WIDTH), **weights}, strict=False
    )
    assert not unexpected
    return tower.eval()


def tower_states(tower, tokens):
    """States before each block of open_clip's tower and after the last."""
    states = [tower.token_embedding(tokens) + tower.positional_embedding]
    for block in tower.transformer.resblocks:
        states.append(block(states[-1], attn_mask=tower.attn_mask))
    return states


def to_open_clip_names(weights):
    """open_clip's names for those of SD 1.x without prefix: q, k and v become one matrix."""
    renamed = {
        "token_embedding.weight": weights["embeddings.token_embedding.weight"],
        "positional_embedding": weights["embeddings.position_embedding.weight"],
    }
    for kind in ("weight", "bias"):
        renamed[f"ln_final.{kind}"] = weights[f"final_layer_norm.{kind}"]
        for i in range(LAYERS):
            source, target = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
            parts = [weights[f"{source}self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            renamed[f"{target}attn.in_proj_{kind}"] = torch.cat(parts)
            for ours, theirs in {
                "self_attn.out_proj": "attn.out_proj",
                "layer_norm1": "ln_1",
                "layer_norm2": "ln_2",
                "mlp.fc1": "mlp.c_fc",
                "mlp.fc2": "mlp.c_proj",
            }.items():
                renamed[f"{target}{theirs}.{kind}"] = weights[f"{source}{ours}.{kind}"]
    return renamed


def without_prefix(module, prefix):
    return {name.removeprefix(prefix): value for name, value in module.state_dict().items()}


def assert_close(actual, expected):
    assert expected.abs().max() > 1  # layer-normed or of unit scale, so 1e-5 means something
    assert (actual - expected).abs().max() < 1e-5


# Numbers


@torch.no_grad()
def test_clip_equals_open_clip_with_quick_gelu(clip):
    weights = to_open_clip_names(without_prefix(clip, START))
    tokens = tokenize(PROMPTS, EOS)
    tower = open_clip_tower(weights, quick_gelu=True)
    assert_close(clip(PROMPTS), tower.ln_final(tower_states(tower, tokens)[-1]))
    exact = open_clip_tower(weights, quick_gelu=False)  # the usual mistake must show
    assert (clip(PROMPTS) - exact.ln_final(tower_states(exact, tokens)[-1])).abs().max() > 1e-3


@torch.no_grad()
def test_clip_in_double_precision_by_hand(clip):
    """One loop over tokens and heads, straight from the formulas."""
    weights = {name: value.double() for name, value in without_prefix(clip, START).items()}
    tokens = tokenize(PROMPTS[:1], EOS)[0]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(dim=-1, keepdim=True)
        return (
            centred
            / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
            * weights[f"{name}.weight"]
            + weights[f"{name}.bias"]
        )

    x = (
        weights["embeddings.token_embedding.weight"][tokens]
        + weights["embeddings.position_embedding.weight"]
    )
    for i in range(LAYERS):
        layer = f"encoder.layers.{i}."
        y = norm(x, f"{layer}layer_norm1")
        q, k, v = (
            linear(y, f"{layer}self_attn.{letter}_proj").view(77, HEADS, -1) for letter in "qkv"
        )
        attended = torch.zeros_like(q)
        for token in range(77):
            for head in range(HEADS):
                scores = k[: token + 1, head] @ q[token, head] / (WIDTH // HEADS) ** 0.5
                attended[token, head] = scores.softmax(dim=0) @ v[: token + 1, head]
        x = x + linear(attended.view(77, WIDTH), f"{layer}self_attn.out_proj")
        y = linear(norm(x, f"{layer}layer_norm2"), f"{layer}mlp.fc1")
        x = x + linear(y / (1 + (-1.702 * y).exp()), f"{layer}mlp.fc2")
    assert_close(clip(PROMPTS[:1])[0].double(), norm(x, "final_layer_norm"))


@torch.no_grad()
def test_open_clip_reads_the_penultimate_layer_with_the_final_norm(open_clip_model):
    weights = without_prefix(open_clip_model, "model.")
    logit_scale = weights.pop("logit_scale")
    assert logit_scale.shape == ()
    tower = open_clip_tower(weights, quick_gelu=False)
    states = tower_states(tower, tokenize(PROMPTS, 0))
    assert_close(open_clip_model(PROMPTS), tower.ln_final(states[-2]))
    last = FrozenOpenCLIPEmbedder(layer="last", **SIZE)
    last.load_state_dict(open_clip_model.state_dict())
    assert_close(last(PROMPTS), tower.ln_final(states[-1]))
    assert not torch.allclose(last(PROMPTS), open_clip_model(PROMPTS), atol=1e-3)


@torch.no_grad()
def test_other_layers_of_clip(clip):
    tokens = tokenize(PROMPTS, EOS)
    states = clip.transformer.text_model(tokens)
    for layer, index, expected in (
        ("hidden", 0, states[0]),
        ("hidden", -2, states[LAYERS - 1]),
        ("hidden", LAYERS, states[LAYERS]),
        (
            "pooled",
            None,
            torch.stack([clip(PROMPTS)[i, [first_end]] for i, first_end in enumerate((6, 1, 76))]),
        ),
    ):
        encoder = FrozenCLIPEmbedder(layer=layer, layer_idx=index, **SIZE)
        encoder.load_state_dict(clip.state_dict())
        assert torch.equal(encoder(PROMPTS), expected)


@torch.no_grad()
def test_causal_and_unmasked(clip):
    short, longer = clip(["a photo"])[0], clip(["a photo of a cat"])[0]
    assert torch.allclose(short[:3], longer[:3], atol=1e-6)
    assert not torch.allclose(short[3:], longer[3:], atol=1e-3)
    padded_otherwise = clip.encode_tokens(tokenize(["a photo"], 0))[0]
    assert not torch.allclose(
        padded_otherwise[4:], short[4:], atol=1e-3
    )  # pads are context, so their value matters


# Names, options, files


def test_frozen_unless_asked_otherwise():
    for encoder in (FrozenCLIPEmbedder, FrozenOpenCLIPEmbedder):
        assert not any(parameter.requires_grad for parameter in encoder(**SIZE).parameters())
        assert all(
            parameter.requires_grad for parameter in encoder(freeze=False, **SIZE).parameters()
        )


def drop_text_model(weights):
    return {name.replace("text_model.", ""): value for name, value in weights.items()}


@pytest.mark.parametrize("rename", [lambda weights: weights, drop_text_model])
@pytest.mark.parametrize("with_position_ids", [False, True])
def test_strict_loading_of_older_and_converted_names(clip, rename, with_position_ids):
    weights = clip.state_dict()
    if with_position_ids:
        weights[f"{START}embeddings.position_ids"] = torch.arange(77)[None]
    weights = rename(weights)
    names = set(weights)
    parent = torch.nn.ModuleDict({"cond_stage_model": FrozenCLIPEmbedder(**SIZE)})
    parent.load_state_dict({f"cond_stage_model.{name}": value for name, value in weights.items()})
    assert set(weights) == names  # the caller's dictionary stays as it was
    assert torch.equal(parent["cond_stage_model"](PROMPTS), clip(PROMPTS))
    weights.pop(next(name for name in names if name.endswith("final_layer_norm.weight")))
    with pytest.raises(RuntimeError, match="final_layer_norm.weight"):
        parent.load_state_dict(
            {f"cond_stage_model.{name}": value for name, value in weights.items()}
        )


def test_tensors_that_open_clip_conditioning_never_reads_are_optional(open_clip_model):
    weights = open_clip_model.state_dict()
    del weights["model.text_projection"], weights["model.logit_scale"]
    encoder = FrozenOpenCLIPEmbedder(**SIZE)
    encoder.load_state_dict(weights)
    assert torch.equal(encoder(PROMPTS), open_clip_model(PROMPTS))
    del weights["model.ln_final.bias"]
    with pytest.raises(RuntimeError, match="ln_final.bias"):
        encoder.load_state_dict(weights)


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        (FrozenCLIPEmbedder, {"layer": "penultimate"}, "layer 'penultimate'"),
        (FrozenCLIPEmbedder, {"layer": "hidden"}, "layer_idx None"),
        (FrozenCLIPEmbedder, {"layer": "hidden", "layer_idx": LAYERS + 1}, "layer_idx 4"),
        (FrozenCLIPEmbedder, {"max_length": 100}, "max_length 100"),
        (FrozenOpenCLIPEmbedder, {"layer": "pooled"}, "layer 'pooled'"),
        (FrozenOpenCLIPEmbedder, {"arch": "ViT-B-32"}, "arch 'ViT-B-32'"),
        (FrozenOpenCLIPEmbedder, {"max_length": 100}, "max_length 100"),
    ],
)
def test_bad_options_are_named(encoder, options, message):
    with pytest.raises(ValueError, match=message):
        encoder(**options, **SIZE)


def test_default_sizes_are_the_published_ones(published_shapes):
    with torch.device("meta"):
        encoders = FrozenCLIPEmbedder(), FrozenOpenCLIPEmbedder()
    for encoder, table in zip(
        encoders, ("keys_clip_vitl14_text.json", "keys_openclip_vith14_text.json"), strict=True
    ):
        expected = published_shapes(table)
        expected.pop(
            "cond_stage_model.transformer.text_model.embeddings.position_ids", None
        )  # a constant, accepted on loading
        assert {
            f"cond_stage_model.{name}": tuple(value.shape)
            for name, value in encoder.state_dict().items()
        } == expected
    assert encoders[0].transformer.text_model.encoder.layers[0].self_attn.heads == 12
    assert encoders[1].model.transformer.resblocks[0].attn.heads == 16


OFFLINE = """
import socket
def refuse(*args, **kwargs):
    raise AssertionError("network access")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
from ldm.modules.encoders.modules import FrozenCLIPEmbedder, FrozenOpenCLIPEmbedder
for encoder in (FrozenCLIPEmbedder, FrozenOpenCLIPEmbedder):
    print(*encoder(width=8, layers=1, heads=1)(["a cell", ""]).shape)
"""


def test_no_network_from_import_to_context(tmp_path):
    """In a fresh process with an empty home: no cache of another run can help."""
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
    }
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE], cwd=root, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["2 77 8"] * 2
