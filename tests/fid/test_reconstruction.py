"""Images against their encode-decode, by hand and with the micro model."""

import numpy as np
import pytest
import torch

from cldm.model import create_first_stage, create_model
from fid.reconstruction import BANDS, power_spectrum, psnr, reconstruct


def test_psnr_by_hand():
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(grey, grey + 1) == pytest.approx(20 * np.log10(255))
    assert psnr(grey, grey) == float("inf")


@pytest.mark.parametrize(("period", "band"), [(16, BANDS // 8), (4, BANDS // 2)])
def test_power_lies_where_the_waves_are(period, band):
    wave = 128 + 100 * np.sin(2 * np.pi * (np.arange(96) + 0.3) / period)
    spectrum = power_spectrum(
        np.repeat(np.repeat(wave[None], 64, axis=0)[..., None], 3, axis=2).astype(np.uint8)
    )
    assert spectrum[band - 1 : band + 2].sum() > 0.95 * spectrum.sum()


def test_white_noise_has_its_variance_in_every_band():
    noise = (
        np.random.default_rng(0)
        .normal(128, 20, (256, 256, 1))
        .clip(0, 255)
        .astype(np.uint8)
        .repeat(3, axis=2)
    )
    np.testing.assert_allclose(power_spectrum(noise)[4:], 400, rtol=0.2)


def test_autoencoder_alone_is_that_of_the_whole_model(micro_yaml, micro_weights):
    alone, whole = (
        create_first_stage(micro_yaml, micro_weights),
        create_model(micro_yaml, micro_weights).first_stage_model,
    )
    assert not alone.training
    for (name, one), other in zip(alone.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_images_are_cut_to_whole_latents(micro_yaml, micro_weights):
    model = create_first_stage(micro_yaml, micro_weights)
    pixels = np.random.default_rng(0).random((70, 50, 3)).astype(np.float32)
    original, decoded = reconstruct(model, pixels, "cpu")
    assert original.shape == decoded.shape == (64, 48, 3)
    np.testing.assert_allclose(original / 255, pixels[:64, :48], atol=0.5 / 255 + 1e-6)
    with pytest.raises(ValueError, match="smaller than the autoencoder's 8"):
        reconstruct(model, pixels[:5], "cpu")
