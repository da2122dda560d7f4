"""The command that writes phantoms: whole pairs, and nothing overwritten."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.imaging.images import list_images
from core.imaging.labels import read_labels
from microscope.phantoms import SPLITS, draw_phantom
from utils.make_phantoms import parse_args

SCRIPT = Path(__file__).resolve().parents[2] / "utils" / "make_phantoms.py"


def run(*options):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, options)], capture_output=True, text=True, timeout=60
    )


def test_command_writes_pairs_and_spares_what_is_there(tmp_path):
    folder = tmp_path / "phantoms"
    result = run(folder, "--train", 9, "--val", 2, "--test", 0, "--image_size", 64, "--seed", 5)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().count("\n") == 0 and str(folder) in result.stdout
    for split, count in (("train", 9), ("val", 2)):
        names = [path.name for path in list_images(folder / split / "images")]
        assert names == [f"phantom_{index:05d}.png" for index in range(count)]
        assert names == [path.name for path in list_images(folder / split / "masks")]
    assert np.array_equal(
        read_labels(folder / "train/masks/phantom_00008.png"), draw_phantom(5, "train", 8, 64)[1]
    )

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    refused = run(folder, "--train", 1)
    assert refused.returncode == 2
    assert refused.stderr.strip().count("\n") == 0 and "not an empty folder" in refused.stderr
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_help_and_bad_options(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--help"])
    assert stop.value.code == 0 and "--image_size" in capsys.readouterr().out
    for options in (
        ["--train", "-1"],
        ["--image_size", "0"],
        ["--image_size", "16"],
        ["--seed", "x"],
    ):
        with pytest.raises(SystemExit) as stop:
            parse_args(["out", *options])
        assert stop.value.code == 2
        assert options[0] in capsys.readouterr().err
    assert [getattr(parse_args(["out"]), split) for split in SPLITS] == [200, 16, 16]
