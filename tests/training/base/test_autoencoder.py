"""Normalised latents."""

import torch

from cldm.model import create_model
from tests.weights import fill_parameters
from training.base.autoencoder import normalise_latents


def test_normalised_latents_decode_to_the_same_images(micro_yaml):
    """Mean 0, deviation 1 / scale_factor (1 %), and the same reconstruction (1e-4)."""
    model = fill_parameters(create_model(micro_yaml)).first_stage_model.eval()
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = model.encode(images)
        expected = model.decode(before.mode())
        normalise_latents(model, before.parameters, scale_factor=0.18215)
        after = model.encode(images)
        assert torch.allclose(
            model.decode(after.mode()), expected, atol=1e-4 * float(expected.abs().max())
        )
        spread = (after.mean.var(dim=(0, 2, 3)) + after.var.mean(dim=(0, 2, 3))).sqrt() * 0.18215
    assert torch.allclose(spread, torch.ones(4), rtol=0.01)
    assert float(after.mean.mean(dim=(0, 2, 3)).abs().max()) < 0.01
