"""Conversions from the command line: which way they go, what they write and what they refuse."""

import pytest
import torch
import yaml

from cldm.model import create_control
from core.weights.checkpoints import load_state_dict, save_weights, subset
from tests.weights import assert_same_tensors
from utils import convert_control


@pytest.fixture
def convert(micro_yaml):
    return lambda *words: convert_control.main([*map(str, words), "--config", str(micro_yaml)])


def test_a_checkpoint_goes_to_diffusers_and_comes_back_as_its_branch(
    convert, branch_weights, micro_yaml, tmp_path, capsys
):
    start = branch_weights("classes", 4)
    convert(start, tmp_path / "diffusers")
    assert sorted(path.name for path in (tmp_path / "diffusers").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    convert(tmp_path / "diffusers", tmp_path / "back.safetensors")
    assert "4 hint channels" in capsys.readouterr().out
    back = load_state_dict(tmp_path / "back.safetensors")
    assert_same_tensors(back, subset(load_state_dict(start), ["control_model."]))
    convert(tmp_path / "diffusers/diffusion_pytorch_model.safetensors", tmp_path / "file.ckpt")
    assert_same_tensors(load_state_dict(tmp_path / "file.ckpt"), back)
    create_control(micro_yaml, tmp_path / "file.ckpt", 4)


def test_bad_input_is_one_line(convert, micro_weights, micro_yaml, tiny_yaml, tmp_path, error_line):
    def fails(*words):
        return error_line(convert_control.main, *words, "--config", micro_yaml)

    folder = tmp_path / "diffusers"
    convert(micro_weights, folder)
    assert "not an empty folder" in fails(micro_weights, folder)
    assert "is no ControlNet of diffusers" in fails(micro_weights, tmp_path / "x.ckpt")
    assert "is a folder of diffusers" in fails(folder, tmp_path / "x")
    assert "none.ckpt: no such checkpoint" in fails(tmp_path / "none.ckpt", tmp_path / "x")
    assert "micro.safetensors exists" in fails(folder, micro_weights)
    line = error_line(convert_control.main, folder, tmp_path / "x.ckpt", "--config", tiny_yaml)
    assert "config.json: " in line and "Name the configuration of its base" in line
    weights = load_state_dict(micro_weights)
    weights["control_model.zero_convs.0.0.bias"][0] = torch.nan
    save_weights(weights, tmp_path / "nan.ckpt")
    assert "zero_convs.0.0.bias holds values that are NaN" in fails(
        tmp_path / "nan.ckpt", tmp_path / "x"
    )
    config = yaml.safe_load(micro_yaml.read_text())
    config["model"]["params"]["only_mid_control"] = True
    (tmp_path / "mid.yaml").write_text(yaml.safe_dump(config))
    words = micro_weights, tmp_path / "x", "--config", tmp_path / "mid.yaml"
    assert "only_mid_control is true" in error_line(convert_control.main, *words)
    (folder / "config.json").write_text('{"attention_head_dim": 2}')
    assert "config.json: attention_head_dim is 2" in fails(folder, tmp_path / "x.ckpt")
    assert not list(tmp_path.glob("x*"))
