import pytest
import torch

import tool_add_control
from cldm.model import create_model
from core.weights.checkpoints import load_state_dict, save_weights, subset
from tests.weights import fill_parameters


@pytest.fixture
def base(micro_yaml, tmp_path):
    """Weights without control, with averaged copies that are one larger."""
    weights = {
        key: value
        for key, value in fill_parameters(create_model(micro_yaml)).state_dict().items()
        if not key.startswith("control_model.")
    }
    ema = {
        "model_ema." + key[6:].replace(".", ""): value + 1
        for key, value in weights.items()
        if key.startswith("model.")
    }
    path = tmp_path / "base.ckpt"
    torch.save({"state_dict": {**weights, **ema}}, path)
    return path


@pytest.mark.parametrize("name", ["ini.ckpt", "ini.pth", "ini.safetensors"])
def test_control_branch_starts_as_the_encoder(base, micro_yaml, tmp_path, name, capsys):
    tool_add_control.main([str(base), str(tmp_path / name), "--config", str(micro_yaml)])
    source, result = load_state_dict(base), load_state_dict(tmp_path / name)
    assert torch.equal(
        result["control_model.input_blocks.1.0.in_layers.2.weight"],
        source["model.diffusion_model.input_blocks.1.0.in_layers.2.weight"],
    )
    assert torch.equal(
        result["first_stage_model.quant_conv.weight"], source["first_stage_model.quant_conv.weight"]
    )
    assert not result["control_model.zero_convs.0.0.weight"].any()
    assert set(result) == set(create_model(micro_yaml).state_dict())
    printed = capsys.readouterr().out
    assert (
        "control_model.input_hint_block.0.weight" in printed
        and "control_model.input_blocks" not in printed
    )
    create_model(micro_yaml, tmp_path / name)  # complete


def test_branch_and_unet_do_not_share_memory(base, micro_yaml, tmp_path):
    """One storage for both in the file would let training change the locked U-Net."""
    tool_add_control.main([str(base), str(tmp_path / "ini.ckpt"), "--config", str(micro_yaml)])
    model = create_model(micro_yaml, tmp_path / "ini.ckpt")
    before = model.model.diffusion_model.time_embed[0].weight.clone()
    with torch.no_grad():
        model.control_model.time_embed[0].weight.add_(1)
    assert torch.equal(model.model.diffusion_model.time_embed[0].weight, before)


def test_use_ema_takes_the_averaged_unet_alone(base, micro_yaml, tmp_path):
    tool_add_control.main(
        [str(base), str(tmp_path / "ini.ckpt"), "--config", str(micro_yaml), "--use_ema"]
    )
    source, result = load_state_dict(base), load_state_dict(tmp_path / "ini.ckpt")
    name = "time_embed.0.weight"
    assert torch.equal(result[f"control_model.{name}"], source[f"model.diffusion_model.{name}"] + 1)
    assert torch.equal(
        result[f"model.diffusion_model.{name}"], source[f"model.diffusion_model.{name}"] + 1
    )
    assert torch.equal(
        result["first_stage_model.quant_conv.weight"], source["first_stage_model.quant_conv.weight"]
    )


def test_same_input_same_file(base, micro_yaml, tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        tool_add_control.main([str(base), str(tmp_path / name), "--config", str(micro_yaml)])
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_bad_input_is_one_line(base, micro_yaml, tiny_yaml, tmp_path, error_line):
    output, config = tmp_path / "out.ckpt", ("--config", micro_yaml)
    assert "none.ckpt: no such checkpoint" in error_line(
        tool_add_control.main, tmp_path / "none.ckpt", output, *config
    )
    assert "base.ckpt exists" in error_line(tool_add_control.main, base, base, *config)
    assert ".safetensors" in error_line(tool_add_control.main, base, tmp_path / "out.bin", *config)
    assert "no such folder" in error_line(
        tool_add_control.main, base, tmp_path / "none" / "out.ckpt", *config
    )
    assert "tiny_sd15.yaml" in error_line(
        tool_add_control.main, base, output, "--config", tiny_yaml
    )
    save_weights({"weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    assert "none of its 1 tensors" in error_line(
        tool_add_control.main, tmp_path / "other.ckpt", output, *config
    )
    part = subset(load_state_dict(base), ["model.", "first_stage_model."])
    save_weights(part, tmp_path / "part.ckpt")
    assert "part.ckpt does not fit" in (
        line := error_line(tool_add_control.main, tmp_path / "part.ckpt", output, *config)
    )
    assert "no text encoder" in line
    weights = load_state_dict(base)
    name = "model.diffusion_model.time_embed.0.weight"
    weights[name][3, 3] = torch.nan
    save_weights(weights, tmp_path / "nan.ckpt")
    assert f"nan.ckpt: {name} holds values that are NaN" in error_line(
        tool_add_control.main, tmp_path / "nan.ckpt", output, *config
    )
    save_weights({"weight": torch.zeros(1)}, tmp_path / "noema.ckpt")
    assert "--use_ema: " + str(tmp_path / "noema.ckpt") in error_line(
        tool_add_control.main, tmp_path / "noema.ckpt", output, "--use_ema", *config
    )
    assert not output.exists()


def test_a_failed_write_leaves_nothing(base, micro_yaml, tmp_path, monkeypatch, error_line):
    def full_disk(content, path):
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full_disk)
    assert "disk full" in error_line(
        tool_add_control.main, base, tmp_path / "out.ckpt", "--config", micro_yaml
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.ckpt"]
