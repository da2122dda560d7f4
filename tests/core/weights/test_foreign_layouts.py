"""Files of other programs are named for what they are, our own never."""

from pathlib import Path

import pytest
import torch

import tool_add_control
from cldm.model import create_control, create_first_stage, create_model
from conditions import create_condition
from core.weights.checkpoints import load_state_dict, save_weights, subset
from core.weights.foreign_layouts import added_prefix, foreign_layout, load_original
from generation.drawing.model import weights_files
from generation.planning.branches import Branch
from tests.weights import assert_same_tensors

MODELS = Path(__file__).parents[3] / "models"

# A name or two as the programs write them
FILES = {
    "a LoRA": ["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"],
    "a LoRA, ": ["unet.up_blocks.1.attentions.0.attn1.processor.to_q_lora.up.weight"],
    "a LoRA, which": ["base_model.model.down_blocks.0.attn1.to_k.lora_A.weight"],
    "a ControlNet of diffusers": [
        "down_blocks.0.resnets.0.conv1.weight",
        "controlnet_cond_embedding.conv_in.weight",
    ],
    "a ControlNet that is stored as": ["difference", "control_model.time_embed.0.weight"],
    "a U-Net of diffusers": ["conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"],
    "an autoencoder of diffusers": ["encoder.down_blocks.0.resnets.0.conv1.weight"],
    "a text encoder of transformers": ["text_model.encoder.layers.0.mlp.fc1.weight"],
    "Stable Diffusion XL": ["conditioner.embedders.0.transformer.text_model.final_layer_norm.bias"],
    "a diffusion transformer": ["model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"],
}


@pytest.mark.parametrize(("layout", "names"), FILES.items(), ids=FILES)
def test_layouts_of_other_programs(layout, names):
    found = foreign_layout(names)
    assert found.startswith(layout)
    assert any(advice in found for advice in (". Take", ". Merge", ". Run python utils/"))


@pytest.mark.parametrize("config", sorted(MODELS.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_own_names_are_no_foreign_layout(config):
    with torch.device("meta"):
        names = list(create_model(config).state_dict())
    assert foreign_layout(names) is None
    # Parts of a model are loaded without the beginning of their names.
    for prefix in ("control_model.", "first_stage_model.", "model.diffusion_model."):
        part = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        assert part and foreign_layout(part) is None


def test_every_reader_names_file_and_layout(micro_yaml, micro_weights, tmp_path):
    path, output = tmp_path / "unet.safetensors", tmp_path / "ini.ckpt"
    save_weights({"down_blocks.0.resnets.0.conv1.weight": torch.zeros(1)}, path)
    masks = Branch("mask", create_condition("segmentation"), path, tmp_path)
    for read in (
        lambda: load_original(path),
        lambda: create_model(micro_yaml, path),
        lambda: create_model(micro_yaml, micro_weights, base_path=path),
        lambda: create_control(micro_yaml, path, 3),
        lambda: create_first_stage(micro_yaml, path),
        lambda: weights_files([masks], None),
        lambda: tool_add_control.main([str(path), str(output), "--config", str(micro_yaml)]),
    ):
        with pytest.raises(ValueError, match="unet.safetensors: is a U-Net of diffusers. Take"):
            read()
    assert not output.exists()


def test_files_in_the_original_layout_are_read(micro_weights):
    assert_same_tensors(load_original(micro_weights), load_state_dict(micro_weights))


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
def test_what_a_trainer_put_before_all_names_is_taken_off(micro_weights, tmp_path, prefix):
    expected = load_original(micro_weights)
    for parts in ((), ("model.diffusion_model.",), ("control_model.",)):
        part = {name: expected[name] for name in expected if name.startswith(parts or "")}
        save_weights({f"{prefix}{k}": v for k, v in part.items()}, tmp_path / "w.ckpt")
        assert_same_tensors(load_original(tmp_path / "w.ckpt"), part)
    bare = {f"{prefix}{k.removeprefix('control_model.')}": v for k, v in part.items()}
    save_weights(bare, tmp_path / "bare.safetensors")
    assert_same_tensors(load_original(tmp_path / "bare.safetensors"), part)


def test_names_that_only_some_tensors_have_before_them_stay():
    names = ["module.model.diffusion_model.out.0.bias", "loss.weight"]
    assert added_prefix(names) == added_prefix(names[1:]) == added_prefix([]) == ""
    unet = ["model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.out.0.bias"]
    assert added_prefix(unet) == added_prefix(["control_model.zero_convs.0.0.weight"]) == ""


def test_a_branch_whose_names_lack_their_beginning_is_read(micro_yaml, micro_weights, tmp_path):
    """Programs that draw with A1111's or ComfyUI's files take both kinds."""
    branch = subset(load_original(micro_weights), ["control_model."])
    bare = {name.removeprefix("control_model."): value for name, value in branch.items()}
    save_weights(bare, tmp_path / "bare.safetensors")
    assert_same_tensors(load_original(tmp_path / "bare.safetensors"), branch)
    create_control(micro_yaml, tmp_path / "bare.safetensors", 3)


def test_a_folder_of_diffusers_is_named(micro_yaml, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is a folder of diffusers.*utils/convert_control.py"):
        create_control(micro_yaml, tmp_path, 3)
