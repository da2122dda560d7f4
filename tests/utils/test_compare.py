"""The comparison picture of a small run, pixel by pixel."""

import json

import numpy as np
import pytest

from core.imaging.images import read_image, write_png
from core.imaging.pictures import GAP, class_colours
from utils import compare


@pytest.fixture
def run(tmp_path):
    """A run of two masks with two images each, one of them missing, and the real images."""
    for folder in ("run/images", "run/masks", "masks", "real"):
        (tmp_path / folder).mkdir(parents=True)
    records = []
    for i in range(2):
        mask = tmp_path / "masks" / f"cell_{i}.png"
        write_png(mask, np.full((16, 16), i, np.uint8))
        write_png(tmp_path / "real" / f"cell_{i}.png", np.full((16, 16), 100 + i, np.uint8))
        for copy in range(2):
            if (i, copy) == (1, 1):
                continue
            name = f"image_cond{i}_batch{copy}_sample0.png"
            image = np.full((16, 16), 200 + 10 * i + copy, np.uint8)
            write_png(tmp_path / "run" / "images" / name, image)
            write_png(tmp_path / "run" / "masks" / name, np.full((16, 16), i, np.uint8))
            files = {"image": f"images/{name}", "mask": f"masks/{name}"}
            records.append({**files, "sources": {"mask": str(mask)}})
    lines = [json.dumps(record) + "\n" for record in records]
    (tmp_path / "run" / "manifest.jsonl").write_text("".join(lines))
    return tmp_path


def test_a_dry_run_draws_nothing(run, capsys):
    compare.main([str(run / "run"), "--output", str(run / "out.png"), "--dry_run"])
    assert "3 images of" in capsys.readouterr().out
    assert not (run / "out.png").exists()


def test_rows_are_mask_real_and_generated_images(run):
    write_png(run / "real" / "cell_2.png", np.zeros((16, 16), np.uint8))  # not drawn yet
    words = f"{run / 'run'} --image_path {run / 'real'} --output {run / 'out.png'}"
    compare.main(words.split())
    picture = (read_image(run / "out.png") * 255).round()
    cell = 16 + GAP
    assert picture.shape[:2] == (GAP + 2 * cell, GAP + 4 * cell)
    centres = picture[GAP + 8 :: cell, GAP + 8 :: cell, 0]
    colours = (class_colours(np.array([0, 1]))[:, 0] * 255).round()
    assert centres.tolist() == [[colours[0], 100, 200, 201], [colours[1], 101, 210, 255]]


def test_bad_input_is_one_line(run, error_line):
    out = ("--output", run / "out.png")
    assert "no folder of generate.py" in error_line(compare.main, run / "real", *out)
    (run / "real" / "cell_1.png").unlink()
    words = ("--image_path", run / "real", *out)
    assert "no image for 1 file(s) (cell_1.png)" in error_line(compare.main, run / "run", *words)
    (run / "run" / "manifest.jsonl").write_text("")
    assert "holds no image" in error_line(compare.main, run / "run", *out)
