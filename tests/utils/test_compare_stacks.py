"""Stacks whose smoothness is known."""

import json

import numpy as np
import pytest

from core.imaging.images import read_image, write_png
from utils import compare_stacks
from utils.compare_stacks import correlation, flow_residual


def texture(count, size=64):
    """Smooth random pictures, float32 (count, size, size) in [0, 1]."""
    rng = np.random.default_rng(0)
    small = rng.random((count, size // 4, size // 4)).astype(np.float32)
    return np.stack([compare_stacks.cv2.resize(x, (size, size)) for x in small])


def test_equal_slices_and_unrelated_ones():
    one, many = texture(1), texture(10)
    assert correlation(np.repeat(one, 4, 0), 2) == pytest.approx(1)
    assert abs(correlation(many, 1)) < 0.15
    assert correlation(many, 10) is None


def test_correlation_falls_with_the_distance():
    a, b = (np.random.default_rng(seed).normal(size=(128, 128)) for seed in (0, 1))
    turning = np.stack([np.cos(0.2 * z) * a + np.sin(0.2 * z) * b for z in range(9)])
    for distance in (1, 2, 4):
        assert correlation(turning, distance) == pytest.approx(np.cos(0.2 * distance), abs=0.03)


def test_what_only_moves_leaves_no_residual():
    wide = texture(1, 128)[0]
    moved = np.stack([wide[20:84, 20 + z : 84 + z] for z in range(4)])
    assert flow_residual(moved) < 0.25 * flow_residual(texture(4))
    assert flow_residual(np.repeat(moved[:1], 3, 0)) < 0.01


def test_report_and_picture(tmp_path, capsys, error_line):
    for name, stack in (("a", np.repeat(texture(1), 9, 0)), ("b", texture(9))):
        (tmp_path / name).mkdir()
        for z, pixels in enumerate(stack):
            write_png(tmp_path / name / f"z{z}.png", (255 * pixels).astype(np.uint8))
    words = [f"{name}={tmp_path / name}" for name in "ab"]
    compare_stacks.main([*words, "--output", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["a"]["correlation_8"] == pytest.approx(1) and report["a"]["slices"] == 9
    assert report["b"]["correlation_1"] < 0.2
    height, width, _ = read_image(tmp_path / "out" / "strips.png").shape
    assert height > 2 * 64 and width > 7 * 64
    assert "a: correlation of neighbours 1.000" in capsys.readouterr().out

    def fails(*words):
        return error_line(compare_stacks.main, *words, "--output", str(tmp_path / "new"))

    assert "two stacks have one name" in fails(words[0], words[0])
    assert "expected NAME=FOLDER" in fails(str(tmp_path))
    write_png(tmp_path / "b" / "z9.png", np.zeros((8, 8), np.uint8))
    assert "z9.png: 8 x 8 pixels" in fails(words[1])
    write_png(tmp_path / "b" / "z9.png", np.zeros((64, 64), np.uint8))
    assert "all pixels are equal" in fails(words[1])
