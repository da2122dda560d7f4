"""Layers that are rounded to 16 bits once, as autocast rounds them at every call."""

import copy

import pytest
import torch

from cldm import layer_precision
from cldm.layer_precision import read_rounded, round_layers, rounded_names
from cldm.model import create_control, create_model
from core.weights.checkpoints import load_state_dict, save_weights
from tests.weights import fill_zero_layers


def test_autocast_computes_the_same_to_the_last_bit(tiny_cldm, golden):
    fill_zero_layers(tiny_cldm, std=0.05)
    rounded = copy.deepcopy(tiny_cldm)
    round_layers(rounded, torch.bfloat16)
    results = []
    for model in (tiny_cldm, rounded):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            context = model.get_learned_conditioning(["a cell", ""])
            cond = {"c_crossattn": [context], "c_concat": [torch.rand(2, 3, 64, 64).round()]}
            torch.manual_seed(0)
            z = torch.randn(2, 4, 8, 8)
            eps = model.apply_model(z, torch.tensor([3, 900]), model.encode_hints(cond))
            image = model.decode_first_stage(z)
            results.append((context, eps, image, model.encode_first_stage(image).parameters))
        torch.manual_seed(0)
    plain = tiny_cldm.apply_model(z, torch.tensor([3, 900]), cond)
    assert not torch.equal(results[0][1].float(), plain)  # autocast did round
    assert all(map(torch.equal, *results))


def test_layers_are_rounded_and_all_else_is_not(micro_yaml, micro_weights):
    stored = load_state_dict(micro_weights)
    model = create_model(micro_yaml, micro_weights, layer_dtype=torch.bfloat16)
    layers, state = rounded_names(model), model.state_dict()
    assert {
        "model.diffusion_model.time_embed.0.bias",
        "control_model.zero_convs.0.0.weight",
        "model.diffusion_model.out.0.weight",  # a group norm
    } < layers
    assert any(name.endswith("norm1.bias") for name in layers)
    assert not any(name.startswith("first_stage_model.") for name in layers)
    for name, value in state.items():
        expected = stored[name].bfloat16() if name in layers else stored[name]
        assert value.dtype == expected.dtype and torch.equal(value, expected), name
    control = create_control(micro_yaml, micro_weights, 3, torch.bfloat16)
    own = model.control_model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in control.state_dict().items())
    float32 = {value.dtype for name, value in state.items() if name not in layers}
    assert float32 == {torch.float32}


def test_a_file_is_read_in_parts_and_tensors_of_others_are_not_read(
    micro_yaml, micro_weights, monkeypatch
):
    model, opened = create_model(micro_yaml), []
    stored = {**load_state_dict(micro_weights), "model_ema.a": torch.ones(5)}
    monkeypatch.setattr(layer_precision, "PART", 2**16)
    copies = read_rounded(lambda: opened.append(1) or stored, model, torch.bfloat16, "x.ckpt")
    assert 4 <= len(opened) <= 12  # each part takes a third of what is left
    assert copies.keys() == stored.keys() and copies["model_ema.a"].is_meta
    assert not {c.data_ptr() for c in copies.values()} & {s.data_ptr() for s in stored.values()}


def test_values_beyond_float16_are_refused(micro_yaml, micro_weights, tmp_path):
    name = "model.diffusion_model.out.2.weight"
    stored = load_state_dict(micro_weights)
    stored[name] = torch.full_like(stored[name], 7e4)
    save_weights(stored, tmp_path / "large.ckpt")
    with pytest.raises(ValueError, match=f"large.ckpt: {name} holds values beyond 65504.*bfloat16"):
        create_model(micro_yaml, tmp_path / "large.ckpt", layer_dtype=torch.float16)
    model = create_model(micro_yaml, tmp_path / "large.ckpt", layer_dtype=torch.bfloat16)
    assert model.state_dict()[name].isfinite().all()
