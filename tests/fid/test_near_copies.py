"""Near-copies: planted ones are found, fresh images are not called so."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from core.images import write_png
from fid import near_copies
from fid.near_copies import copy_distance, correlation, nearest


def test_nearest_and_limit_by_hand():
    training = np.array([[0.0], [1], [3], [10]])  # to their nearest: 1, 1, 2, 7
    index, apart = nearest(np.array([[2.9], [7]]), training)
    assert index.tolist() == [2, 3] and apart == pytest.approx([0.1, 3], abs=1e-6)
    assert copy_distance(training, 0.0) == 1 and copy_distance(training, 1.0) == 7


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x,
        lambda x: np.rot90(x, 1),
        lambda x: np.rot90(x[:, ::-1], 3),
        lambda x: x[::-1],
        lambda x: 0.5 * x + 0.1,
    ],
)
def test_correlation_sees_turned_and_darker_copies(turn):
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.random((8, 8)), np.ones((16, 16)))
    pixels = np.repeat(blocks[..., None], 3, axis=2)
    assert correlation(pixels, turn(pixels)) > 0.99
    other = np.repeat(np.kron(rng.random((8, 8)), np.ones((16, 16)))[..., None], 3, axis=2)
    assert correlation(pixels, other) < 0.6


def test_planted_copies_are_reported(image_folders, cem_weights, capsys):
    generated = image_folders / "generated"
    shutil.copy(image_folders / "real/slice_2.png", generated / "stolen.png")
    shutil.copytree(image_folders / "generated", image_folders / "held")
    (image_folders / "held/stolen.png").unlink()
    fixed = (
        "--weights-path",
        cem_weights,
        "--image-size",
        32,
        "--num-workers",
        0,
        "--no-cache",
        "--device",
        "cpu",
    )
    near_copies.main(
        [
            str(word)
            for word in (
                image_folders / "real",
                generated,
                "--held_out",
                image_folders / "held",
                *fixed,
                "--output",
                generated / "out",
            )
        ]
    )
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
