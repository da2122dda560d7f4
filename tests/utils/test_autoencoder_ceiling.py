"""The ceiling that an autoencoder sets."""

import json

import numpy as np
from PIL import Image

from core.imaging.images import write_png
from fid.reconstruction import BANDS
from utils import autoencoder_ceiling


def test_report(tmp_path, micro_yaml, micro_weights, cem_weights, error_line, capsys):
    (tmp_path / "real").mkdir()
    for i in range(4):
        write_png(
            tmp_path / f"real/{i}.png",
            np.random.default_rng(i).integers(0, 256, (32, 40)).astype(np.uint8),
        )
    fixed = "--image-size 32 --device cpu --bootstrap 0".split() + ["--weights-path", cem_weights]
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
