"""The program that compares stacks: report, picture and refusals."""

import json

import numpy as np
import pytest

from core.imaging.images import read_image, write_png
from utils import compare_stacks


def test_report_and_picture(tmp_path, capsys, error_line):
    slices = np.random.default_rng(0).random((9, 64, 64))  # (Z, H, W)
    for name, stack in (("a", np.repeat(slices[:1], 9, 0)), ("b", slices)):
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
