"""Weights by branch, the model that is built from them, devices and precisions."""

from pathlib import Path

import pytest
import torch

from cldm import parameterization
from cldm.base_encoder import encoder_values
from cldm.speed import speed_up_drawing
from conditions import create_condition
from core.command_line.options import OptionError
from core.notices import Notice
from core.weights.checkpoints import load_state_dict, save_weights, subset
from generation.drawing.model import drop_encoders, load_model, weights_files
from generation.options import ModelOptions
from generation.planning.branches import Branch


def branch(name, weights, condition="edge", strength=1.0):
    return Branch(name, create_condition(condition), weights, Path("x"), strength)


def test_weights_by_branch_and_base(micro_weights, branch_weights, tmp_path):
    edge = branch_weights("membrane", 3)
    branches = [branch("mask", micro_weights, "segmentation"), branch("e", edge)]
    assert weights_files(branches, None) == {"mask": micro_weights, "e": edge}
    files = weights_files(branches, base=micro_weights)
    assert files == {"mask": micro_weights, "e": edge, "base": micro_weights}
    with pytest.raises(FileNotFoundError, match="none.ckpt: no such checkpoint"):
        weights_files([branch("e", tmp_path / "none.ckpt")], None)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="theirs: is a folder of diffusers.*convert_control.py"):
        weights_files([branch("e", tmp_path / "theirs")], micro_weights)
    with pytest.raises(ValueError, match="a branch is named base"):
        weights_files([branch("base", edge)], micro_weights)


def test_weights_without_their_base_are_refused(micro_weights, tmp_path):
    control = tmp_path / "control.safetensors"
    save_weights(subset(load_state_dict(micro_weights), ["control_model."]), control)
    with pytest.raises(ValueError, match="holds no Stable Diffusion weights.*--base_weights_path"):
        weights_files([branch("e", control)], None)
    assert weights_files([branch("e", control)], micro_weights)["base"] == micro_weights


def test_notes_tell_another_condition_and_another_base(micro_weights, tmp_path, recwarn):
    weights = load_state_dict(micro_weights)
    path, other = tmp_path / "control.safetensors", tmp_path / "other.safetensors"
    notes = {"condition": "normal", "base_encoder_values": encoder_values(weights)}
    save_weights(subset(weights, ["control_model."]), path, notes)
    with pytest.raises(ValueError, match="control.safetensors: .* kind normal, but branch mask"):
        weights_files([branch("mask", path, "segmentation")], micro_weights)
    branches = [branch("n", path, "normal")]
    weights_files(branches, micro_weights)
    assert not [w for w in recwarn if w.category is Notice]
    name = "model.diffusion_model.input_blocks.0.0.weight"
    save_weights(weights | {name: weights[name] + 0.01}, other)
    with pytest.warns(Notice, match=f"{path}.*, but {other} is another base"):
        weights_files(branches, other)
    # The first branch's file brings the base
    with pytest.warns(Notice, match=f"{path}.*, but {other} is another base"):
        weights_files([branch("e", other), *branches], None)


def test_a_model_loads_in_half_precision(micro_yaml, micro_weights, monkeypatch):
    options = ModelOptions(config_yaml_path=micro_yaml, device="cpu", precision="bf16")
    monkeypatch.setattr("core.hardware.bf16.bf16_time_on_cpu", lambda: 3.0)
    with pytest.warns(Notice, match="bf16: a product takes 3.0 times as long"):
        loaded = load_model(options, [branch("mask", micro_weights, "segmentation")])
    assert loaded.model.diffusion_model.out[2].weight.dtype == torch.bfloat16


def test_each_branch_brings_its_control_network(micro_yaml, micro_weights, branch_weights):
    rgba = branch_weights("rgba", 4)
    branches = [branch("mask", micro_weights, "segmentation"), branch("r", rgba, "rgba", 0.5)]
    loaded = load_model(ModelOptions(config_yaml_path=micro_yaml, device="cpu"), branches)
    control = loaded.control_model
    assert control.condition_keys == ["mask", "r"] and control.per_condition_scales == [1.0, 0.5]
    for network, path in zip(control.branches, (micro_weights, rgba), strict=True):
        key = "input_hint_block.0.weight"
        stored = load_state_dict(path)[f"control_model.{key}"]
        assert torch.equal(network.state_dict()[key], stored)
    assert not loaded.training


def test_weights_that_predict_something_else_are_refused(micro_yaml, micro_weights, monkeypatch):
    monkeypatch.setattr(parameterization, "measured_parameterization", lambda model: "v")
    options = ModelOptions(config_yaml_path=micro_yaml, device="cpu")
    with pytest.raises(RuntimeError, match=f"{micro_weights}: its U-Net predicts v, but"):
        load_model(options, [branch("mask", micro_weights, "segmentation")])


def test_the_base_file_wins_for_everything_but_the_control_branch(
    micro_yaml, micro_weights, tmp_path
):
    """Both files are complete, and every tensor of theirs differs."""
    other = {k: v + 1 for k, v in load_state_dict(micro_weights).items()}
    save_weights(other, tmp_path / "base.safetensors")
    options = ModelOptions(
        config_yaml_path=micro_yaml, base_weights_path=tmp_path / "base.safetensors", device="cpu"
    )
    loaded = load_model(options, [branch("mask", micro_weights, "segmentation")])
    weights = load_state_dict(micro_weights)
    control = loaded.control_model.branches[0].state_dict()
    for key, value in control.items():
        assert torch.equal(value, weights[f"control_model.{key}"]), key
    for key, value in loaded.named_parameters():
        if not key.startswith("control_model."):
            assert torch.equal(value, other[key]), key


def test_a_base_file_with_gaps_is_not_filled_from_the_branch(micro_yaml, micro_weights, tmp_path):
    unet = subset(load_state_dict(micro_weights), ["model."])
    save_weights(unet, tmp_path / "unet.safetensors")
    options = ModelOptions(
        config_yaml_path=micro_yaml, base_weights_path=tmp_path / "unet.safetensors", device="cpu"
    )
    with pytest.raises(RuntimeError, match=r"unet.safetensors \+ .*missing .'first_stage_model"):
        load_model(options, [branch("mask", micro_weights, "segmentation")])


def test_devices_and_precisions_that_do_not_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ModelOptions().device_type == "cpu"
    with pytest.raises(ValueError, match="device: cuda: torch finds no GPU"):
        ModelOptions(device="cuda").check()
    with pytest.raises(OptionError, match="16 needs a GPU"):
        ModelOptions(precision="16").check()
    ModelOptions(precision="bf16").check()


def test_all_networks_that_draw_are_compiled(
    micro_yaml, micro_weights, branch_weights, monkeypatch
):
    compiled = []
    monkeypatch.setattr(
        "cldm.speed.compile_networks", lambda networks, mode: compiled.extend(networks)
    )
    branches = [branch("mask", micro_weights, "segmentation"), branch("e", branch_weights("e", 3))]
    options = ModelOptions(config_yaml_path=micro_yaml, device="cpu")
    loaded = load_model(options, branches)
    speed_up_drawing(loaded, compiled=True, graphs=True)
    controls = list(loaded.control_model.branches)
    unet, decoder = loaded.model.diffusion_model, loaded.first_stage_model.decoder
    assert compiled == [unet, *controls, decoder]


def test_all_networks_that_draw_on_a_cpu_are_packed(
    micro_yaml, micro_weights, branch_weights, monkeypatch
):
    """All but the autoencoder: it slices large maps, which takes plain weights."""
    packed = []
    monkeypatch.setattr("cldm.speed.pack_layers", packed.append)
    branches = [branch("mask", micro_weights, "segmentation"), branch("e", branch_weights("e", 3))]
    loaded = load_model(ModelOptions(config_yaml_path=micro_yaml, device="cpu"), branches)
    speed_up_drawing(loaded, compiled=False, graphs=True)
    assert packed == [loaded.model.diffusion_model, *loaded.control_model.branches]


def test_compiling_on_a_cpu_is_refused():
    with pytest.raises(OptionError, match="compile: needs a CUDA GPU"):
        ModelOptions(device="cpu", compile=True).check()


def test_encoders_go_that_a_run_does_not_need(micro_yaml, micro_weights, monkeypatch):
    options = ModelOptions(config_yaml_path=micro_yaml, device="cpu")
    loaded = load_model(options, [branch("mask", micro_weights, "segmentation")])
    expected = loaded.get_learned_conditioning(["a", ""])
    monkeypatch.setattr("generation.drawing.model.MOST_TEXTS", 1)
    drop_encoders(loaded, {"a", "b"}, True, "32")  # two texts are too many here
    assert list(loaded.cond_stage_model.parameters()) and loaded.first_stage_model.encoder
    drop_encoders(loaded, {"a"}, False, "32")
    assert not list(loaded.cond_stage_model.parameters())
    assert loaded.first_stage_model.encoder is None
    assert torch.equal(loaded.get_learned_conditioning(["a", ""]), expected)
