"""A control branch in diffusers' layout: its names, its configuration, and equal outputs."""

import json
from pathlib import Path

import pytest
import torch

from cldm.control_weights.diffusers_layout import (
    check_config,
    diffusers_config,
    diffusers_names,
    from_diffusers,
    read_diffusers,
    to_diffusers,
    write_diffusers,
)
from cldm.model import build_control
from core.weights.checkpoints import save_weights
from tests.weights import assert_same_tensors, fill_parameters

MODELS = Path(__file__).parents[3] / "models"
SOURCE = Path("branch.ckpt")


@pytest.fixture(scope="module")
def sd15():
    """The control branch of Stable Diffusion 1.5 without weights."""
    with torch.device("meta"):
        return build_control(MODELS / "cldm_v15.yaml", 3)


@pytest.fixture
def branch(tiny_yaml):
    """A branch of five hint channels in which no layer is zero."""
    return fill_parameters(build_control(tiny_yaml, 5)).eval()


@pytest.mark.parametrize("config", sorted(MODELS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_tensor_has_one_name(config):
    with torch.device("meta"):
        control = build_control(config, 4)
    names = diffusers_names(control)
    assert names.keys() == control.state_dict().keys()
    assert len(set(names.values())) == len(names)


def test_published_names(sd15):
    """A name of each kind, as they stand in ControlNets of the hub."""
    names = diffusers_names(sd15)
    published = {
        "time_embed.2.bias": "time_embedding.linear_2.bias",
        "input_blocks.0.0.weight": "conv_in.weight",
        "input_blocks.4.0.skip_connection.weight": "down_blocks.1.resnets.0.conv_shortcut.weight",
        "input_blocks.5.0.emb_layers.1.bias": "down_blocks.1.resnets.1.time_emb_proj.bias",
        "input_blocks.2.1.transformer_blocks.0.attn2.to_out.0.weight": "down_blocks.0.attentions.1"
        ".transformer_blocks.0.attn2.to_out.0.weight",
        "input_blocks.9.0.op.weight": "down_blocks.2.downsamplers.0.conv.weight",
        "input_blocks.11.0.out_layers.3.weight": "down_blocks.3.resnets.1.conv2.weight",
        "middle_block.1.proj_in.weight": "mid_block.attentions.0.proj_in.weight",
        "middle_block.2.in_layers.0.weight": "mid_block.resnets.1.norm1.weight",
        "input_hint_block.0.weight": "controlnet_cond_embedding.conv_in.weight",
        "input_hint_block.12.bias": "controlnet_cond_embedding.blocks.5.bias",
        "input_hint_block.14.weight": "controlnet_cond_embedding.conv_out.weight",
        "zero_convs.11.0.weight": "controlnet_down_blocks.11.weight",
        "middle_block_out.0.bias": "controlnet_mid_block.bias",
    }
    assert published.items() <= names.items()


def test_the_published_configuration(sd15):
    """Values of the ControlNets that the hub has for Stable Diffusion 1.5."""
    published = {
        "attention_head_dim": 8,
        "block_out_channels": [320, 640, 1280, 1280],
        "conditioning_embedding_out_channels": [16, 32, 96, 256],
        "cross_attention_dim": 768,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "layers_per_block": 2,
        "transformer_layers_per_block": 1,
        "use_linear_projection": False,
    }
    expected = diffusers_config(sd15)
    check_config(published, expected, SOURCE)
    check_config({**published, "num_attention_heads": [8] * 4}, expected, SOURCE)
    for name, value in {
        "attention_head_dim": [5, 10, 20, 20],
        "num_attention_heads": 4,
        "cross_attention_dim": 1024,
        "global_pool_conditions": True,
        "norm_eps": 1e-6,
    }.items():
        with pytest.raises(ValueError, match=r"branch.ckpt: .* is .*, the model configuration has"):
            check_config({**published, name: value}, expected, SOURCE)


def test_heads_of_equal_width_are_counted_per_level():
    with torch.device("meta"):
        control = build_control(MODELS / "cldm_v21.yaml", 3)
    config = diffusers_config(control, global_average_pooling=True)
    assert config["attention_head_dim"] == [5, 10, 20, 20]  # published for version 2.1
    assert config["use_linear_projection"] and config["global_pool_conditions"]


def test_there_and_back_no_bit_changes(branch, tmp_path):
    ours = {name: value.half() for name, value in branch.state_dict().items()}
    write_diffusers(tmp_path, to_diffusers(branch, ours, SOURCE), diffusers_config(branch))
    theirs, config = read_diffusers(tmp_path)
    assert config["conditioning_channels"] == 5
    assert_same_tensors(from_diffusers(branch, theirs, SOURCE), ours)


def test_diffusers_computes_the_same(branch, tmp_path):
    """Tolerance 1e-5 for outputs up to 14; on the machine of the first run they were equal."""
    controlnet = pytest.importorskip("diffusers.models.controlnets.controlnet")
    tensors = to_diffusers(branch, branch.state_dict(), SOURCE)
    write_diffusers(tmp_path, tensors, diffusers_config(branch))
    theirs = controlnet.ControlNetModel.from_pretrained(tmp_path).eval()
    x, hint, text = torch.randn(2, 4, 16, 16), torch.rand(2, 5, 128, 128), torch.randn(2, 77, 32)
    t = torch.tensor([3, 800])
    with torch.no_grad():
        expected = branch(x, hint, t, text)
        blocks, middle = theirs(x, t, text, hint, return_dict=False)
        # The same network reads hints whose channels are in the other order.
        config = json.loads((tmp_path / "config.json").read_text())
        config["controlnet_conditioning_channel_order"] = "bgr"
        (tmp_path / "config.json").write_text(json.dumps(config))
        swapped = controlnet.ControlNetModel.from_pretrained(tmp_path).eval()
        branch.load_state_dict(from_diffusers(branch, read_diffusers(tmp_path)[0], tmp_path))
        ours_swapped = branch(x, hint, t, text)
        blocks_swapped, _ = swapped(x, t, text, hint, return_dict=False)
    torch.testing.assert_close([*blocks, middle], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(blocks_swapped[0], ours_swapped[0], rtol=0, atol=1e-5)
    assert (ours_swapped[0] - expected[0]).abs().max() > 1e-3


def test_tensors_of_another_network_are_refused(branch, sd15, tmp_path):
    tensors = dict(branch.state_dict())
    with pytest.raises(RuntimeError, match=r"branch.ckpt: time_embed.0.weight is \(128, 32\)"):
        to_diffusers(sd15, tensors, SOURCE)
    del tensors["zero_convs.3.0.bias"]
    with pytest.raises(RuntimeError, match=r"1 tensors missing \['zero_convs.3.0.bias'\], 0 left"):
        to_diffusers(branch, tensors, SOURCE)
    with pytest.raises(RuntimeError, match="340 tensors missing"):
        from_diffusers(branch, tensors, SOURCE)


def test_folders_that_lack_something_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no diffusion_pytorch_model.safetensors or"):
        read_diffusers(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.fp16.safetensors"
    save_weights({"conv_in.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"is no ControlNet of diffusers, controlnet_cond"):
        read_diffusers(tmp_path)
    save_weights({"controlnet_cond_embedding.conv_in.weight": torch.zeros(1)}, path)
    with pytest.raises(FileNotFoundError, match=r"config.json: not there"):
        read_diffusers(tmp_path)
    assert read_diffusers(path)[1] is None
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(ValueError, match="config.json: damaged"):
        read_diffusers(tmp_path)
