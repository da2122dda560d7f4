"""Shape and wiring of the U-Net; golden numbers are in tests/cldm/test_cldm.py."""

import pytest
import torch

from ldm.modules.attention import SpatialTransformer
from ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from tests.weights import fill_parameters, fill_zero_layers

SMALL = {
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 2],
}
INPUTS = torch.ones(2, 4, 8, 8), torch.tensor([1, 999]), torch.ones(2, 77, 16)


def test_fresh_unet_predicts_zero():
    unet = UNetModel(num_heads=4, context_dim=16, **SMALL)
    with torch.no_grad():
        assert not unet(*INPUTS).any()
        assert fill_zero_layers(unet, std=0.05)(*INPUTS).abs().max() > 0


@torch.no_grad()
def test_prediction_depends_on_timestep_and_text():
    unet = fill_parameters(UNetModel(num_heads=4, context_dim=16, **SMALL)).eval()
    x, t, context = INPUTS
    output = unet(x, t, context)
    assert not torch.allclose(output[0], output[1], atol=1e-3)  # only t differs
    assert not torch.allclose(unet(x, t, torch.arange(16.0).expand(2, 77, 16)), output, atol=1e-3)


def test_transformers_stand_at_the_resolutions_asked_for():
    unet = UNetModel(num_heads=4, context_dim=16, **SMALL)
    where = [
        any(isinstance(layer, SpatialTransformer) for layer in block) for block in unet.input_blocks
    ]
    assert where == [False, False, False, True]  # first convolution, level 1, downsampling, level 2
    assert unet.block_channels == [32, 32, 32, 64]


@pytest.mark.parametrize(
    ("option", "heads"), [({"num_heads": 4}, 4), ({"num_head_channels": 16}, 64 // 16)]
)
def test_heads_by_number_or_by_width(option, heads):
    unet = UNetModel(context_dim=16, **option, **SMALL)
    assert unet.middle_block[1].transformer_blocks[0].attn1.heads == heads


@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 4},
        {"num_heads": 4, "context_dim": 16, "use_spatial_transformer": False},
        {"context_dim": 16},
        {"context_dim": 16, "num_heads": 4, "num_head_channels": 16},
    ],
)
def test_configurations_of_other_families_are_refused(options):
    with pytest.raises(ValueError, match="U-Net"):
        UNetModel(**options, **SMALL)


def test_any_size_that_the_levels_divide():
    unet = UNetModel(num_heads=4, context_dim=16, **SMALL)
    with torch.no_grad():
        assert unet(torch.ones(1, 4, 6, 10), torch.tensor([3]), torch.ones(1, 77, 16)).shape == (
            1,
            4,
            6,
            10,
        )


def test_checkpointing_changes_no_gradient():
    gradients = []
    for use_checkpoint in (False, True):
        block = fill_parameters(ResBlock(32, 8, 64, use_checkpoint=use_checkpoint)).train()
        x = torch.linspace(-1, 1, 32 * 16).view(1, 32, 4, 4).requires_grad_()
        block(x, torch.ones(1, 8)).square().sum().backward()
        gradients.append([x.grad, *(parameter.grad for parameter in block.parameters())])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)
