"""Starting weights: each comes from where it should, and nothing is taken for what it is not."""

import pytest
import torch

from cldm.add_control import add_control, averaged_name, find_origins
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
    assert find_origins([CONTROL], {CONTROL: None}, use_ema=False) == {CONTROL: CONTROL}


def test_refusals_leave_the_model_as_it_is(micro_yaml):
    model = create_model(micro_yaml)
    with pytest.raises(ValueError, match=r"use_ema: there are no averaged weights \(model_ema"):
        add_control(model, {UNET: torch.zeros(1)}, use_ema=True)
    with pytest.raises(RuntimeError, match=rf"{UNET} is \(1,\), the configuration has \(128, 32\)"):
        add_control(model, {UNET: torch.zeros(1)})
    with pytest.raises(RuntimeError, match="none of its 2 tensors has a name of this architecture"):
        add_control(model, {"conv1.weight": torch.zeros(1), "betas": torch.zeros(1000)})
    assert not any(parameter.is_meta for parameter in model.parameters())
