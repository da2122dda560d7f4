"""Near-copies: planted ones are found, fresh images are not called so."""

import csv
import json
import shutil

import numpy as np
from PIL import Image

from core.imaging.images import write_png
from utils import near_copies


def test_planted_copies_are_reported(image_folders, cem_weights, capsys):
    generated = image_folders / "generated"
    shutil.copy(image_folders / "real/slice_2.png", generated / "stolen.png")
    shutil.copytree(image_folders / "generated", image_folders / "held")
    (image_folders / "held/stolen.png").unlink()
    fixed = "--image-size 32 --num-workers 0 --no-cache --device cpu".split()
    words = image_folders / "real", generated, "--held_out", image_folders / "held", *fixed
    files = "--weights-path", cem_weights, "--output", generated / "out"
    near_copies.main([str(word) for word in (*words, *files)])
    with open(generated / "out/pairs.csv", newline="") as file:
        first, *rest = csv.DictReader(file)
    assert first["generated"].endswith("stolen.png") and first["nearest training image"].endswith(
        "real/slice_2.png"
    )
    assert (
        first["copy"] == "1"
        and float(first["correlation"]) > 0.999
        and float(first["feature distance"]) < 0.01
    )
    assert len(rest) == 5 and sum(int(row["copy"]) for row in rest) < 5
    report = json.loads((generated / "out/report.json").read_text())
    assert (
        report["copies"] >= 1 / 6 and report["num_training"] == 6 and report["held_out_copies"] < 1
    )
    assert Image.open(generated / "out/pairs.png").width > 4 * 2 * 224
    assert "held-out real images would be called so" in capsys.readouterr().out


def test_a_single_training_image_is_refused(image_folders, error_line):
    (image_folders / "one").mkdir()
    write_png(image_folders / "one/a.png", np.zeros((8, 8), np.uint8))
    assert "expected at least two" in error_line(
        near_copies.main,
        image_folders / "one",
        image_folders / "real",
        "--output",
        image_folders / "out",
    )
