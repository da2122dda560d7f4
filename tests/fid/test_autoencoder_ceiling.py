"""The ceiling that an autoencoder sets."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cldm.model import create_first_stage, create_model
from core.images import write_png
from fid import autoencoder_ceiling
from fid.autoencoder_ceiling import BANDS, power_spectrum, psnr, reconstruct


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


def test_report(tmp_path, micro_yaml, micro_weights, cem_weights, error_line, capsys):
    (tmp_path / "real").mkdir()
    for i in range(4):
        write_png(
            tmp_path / f"real/{i}.png",
            np.random.default_rng(i).integers(0, 256, (32, 40)).astype(np.uint8),
        )
    fixed = (
        "--weights-path",
        cem_weights,
        "--image-size",
        32,
        "--num-workers",
        0,
        "--device",
        "cpu",
        "--bootstrap",
        0,
    )
    options = (tmp_path / "real", "--config", micro_yaml, *fixed, "--output", tmp_path / "out")
    autoencoder_ceiling.main([str(word) for word in (*options, "--model", micro_weights)])
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["psnr_db"] < 20 and report["fid"] > 0 and report["num_generated"] == 4
    assert (
        len(report["power_kept"]) == BANDS and report["power_kept_upper_half"] < 1
    )  # an untrained decoder blurs
    assert (
        Image.open(tmp_path / "out/spectrum.png").width > 300
        and Image.open(tmp_path / "out/pairs.png").width > 80
    )
    capsys.readouterr()
    assert "no such checkpoint" in error_line(
        autoencoder_ceiling.main, *options, "--model", tmp_path / "absent.ckpt"
    )
