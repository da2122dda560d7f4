"""Starting weights: each comes from where it should, and nothing is taken for what it is not."""

import pytest
import torch

from cldm.control_weights.add_control import add_control, averaged_name, find_origins
from cldm.model import create_model

UNET = "model.diffusion_model.time_embed.0.weight"
CONTROL = "control_model.time_embed.0.weight"


def test_averaged_name_is_the_published_one():
    expected = "model_ema.diffusion_modeltime_embed0weight"
    assert averaged_name(UNET) == expected


def test_origins():
    """The branch copies the U-Net; averaged copies win where asked for; the rest has no origin."""
    source = dict.fromkeys([UNET, averaged_name(UNET), "first_stage_model.quant_conv.bias"])
    names = [UNET, CONTROL, "control_model.zero_convs.0.0.weight", "betas"]
    assert find_origins(names, source, use_ema=False) == {UNET: UNET, CONTROL: UNET}
    averaged = averaged_name(UNET)
    assert find_origins(names, source, use_ema=True) == {UNET: averaged, CONTROL: averaged}


def test_a_branch_that_is_there_is_replaced_by_the_unet():
    source = dict.fromkeys([UNET, CONTROL])
    assert find_origins([CONTROL], source, use_ema=False) == {CONTROL: UNET}
    # Nor is what no U-Net has: the branch begins anew as a whole.
    zero = "control_model.zero_convs.0.0.weight"
    assert find_origins([CONTROL, zero], {UNET: None, zero: None}, use_ema=False) == {CONTROL: UNET}


def test_averaged_and_plain_weights_are_never_mixed():
    source = dict.fromkeys([UNET, CONTROL])
    assert find_origins([UNET, CONTROL], source, use_ema=True) == {}


def base_weights(model):
    """Weights of `model` without its control branch."""
    return {k: v for k, v in model.state_dict().items() if not k.startswith("control_model.")}


UNET_GAP = r"no U-Net \(model.diffusion_model.\*\)"


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("model.diffusion_model.", f"lacks weights: {UNET_GAP}. Take a complete"),
        ("first_stage_model.", r"lacks weights: no autoencoder \(first_stage_model.\*\)"),
        ("cond_stage_model.", r"lacks weights: no text encoder \(cond_stage_model.\*\)"),
        ("model.diffusion_model.out.2.", r"2 of \d+ tensors of the U-Net, such as .*out.2.weight"),
        (UNET, rf"1 of \d+ tensors of the U-Net, such as {UNET}. Take a complete Stable Diff"),
    ],
)
def test_gaps_of_a_base_are_refused(micro_yaml, lost, message):
    """Its parts would start at random, and nobody would see it."""
    model = create_model(micro_yaml)
    source = {k: v for k, v in base_weights(model).items() if not k.startswith(lost)}
    with pytest.raises(RuntimeError, match=message):
        add_control(model, source)


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.fuser.alpha_attn",
        "first_stage_model.quantize.embedding.weight",
    ],
)
def test_layers_of_a_base_that_the_model_lacks_are_refused(micro_yaml, name):
    """Such a base draws otherwise without them; what only its training needed is left out."""
    source = base_weights(model := create_model(micro_yaml))
    for part in ("loss.discriminator.main.0.weight", "model_ema.decay", "colorize"):
        source[f"first_stage_model.{part}"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=f"has layers that .* lacks, .* {name}. Take"):
        add_control(model, source | {name: torch.zeros(1)})
    add_control(model, source)


def test_averaged_weights_alone_are_taken_where_asked_for(micro_yaml):
    model = create_model(micro_yaml)
    source = {
        averaged_name(k) if k.startswith("model.") else k: v for k, v in base_weights(model).items()
    }
    with pytest.raises(RuntimeError, match=f"{UNET_GAP}. It has averaged copies.*use_ema takes"):
        add_control(model, source)
    holed = {k: v for k, v in source.items() if k != averaged_name(UNET)}
    with pytest.raises(RuntimeError, match=rf"1 of \d+ tensors of the U-Net, such as {UNET}"):
        add_control(model, {**holed, UNET: source[averaged_name(UNET)]}, use_ema=True)
    unet = {k: v for k, v in source.items() if k.startswith("model_ema.")}
    with pytest.raises(RuntimeError, match="no autoencoder .*, no text encoder "):
        add_control(model, unet, use_ema=True)
    weights, _ = add_control(model, source, use_ema=True)
    assert torch.equal(weights[CONTROL], source[averaged_name(UNET)])


def test_a_control_branch_alone_is_no_base(micro_yaml):
    model = create_model(micro_yaml)
    source = {k: v for k, v in model.state_dict().items() if k.startswith("control_model.")}
    with pytest.raises(
        RuntimeError, match=f"{UNET_GAP}, no autoenc.* holds a control branch alone"
    ):
        add_control(model, source)


def test_only_control_names_without_a_counterpart_are_new(micro_yaml):
    model = create_model(micro_yaml)
    _, new = add_control(model, base_weights(model))
    parts = {name.split(".")[1] for name in new}
    assert parts == {"input_hint_block", "zero_convs", "middle_block_out"}
    assert all(name.startswith("control_model.") for name in new)


def test_refusals_leave_the_model_as_it_is(micro_yaml):
    model = create_model(micro_yaml)
    with pytest.raises(ValueError, match=r"use_ema: the base has no averaged weights \(model_ema"):
        add_control(model, {UNET: torch.zeros(1)}, use_ema=True)
    with pytest.raises(RuntimeError, match=rf"{UNET} is \(1,\), the configuration has \(128, 32\)"):
        add_control(model, {UNET: torch.zeros(1)})
    with pytest.raises(RuntimeError, match="none of its 2 tensors has a name of this architecture"):
        add_control(model, {"conv1.weight": torch.zeros(1), "betas": torch.zeros(1000)})
    assert not any(parameter.is_meta for parameter in model.parameters())
