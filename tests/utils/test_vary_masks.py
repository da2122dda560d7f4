"""The program that makes new masks: files, record and refusals."""

import json

import numpy as np
import pytest
from PIL import Image

from core.files import sha256_of
from core.imaging.images import read_grey, write_png
from core.imaging.labels import read_labels
from core.notices import Notice
from utils import vary_masks


@pytest.fixture
def folders(tmp_path):
    """Two masks with an organelle of class 2 each, and images in which grey is the class."""
    for i in range(2):
        labels = np.ones((64, 64), np.uint8)
        labels[20 + i : 30, 20:36] = 2
        for name, pixels in (("masks", labels), ("images", labels * 100)):
            (tmp_path / name).mkdir(exist_ok=True)
            write_png(tmp_path / name / f"cell_{i}.png", pixels)
    return tmp_path


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}


def test_masks_images_picture_and_record(folders, capsys):
    out = folders / "new"
    command = [str(folders / "masks"), str(out), "--image_path", str(folders / "images")]
    vary_masks.main([*command, "--copies", "3", "--objects", "2", "--num_workers", "0"])
    names = sorted(path.stem for path in (out / "masks").iterdir())
    assert names == [f"cell_{i}_v{k}" for i in range(2) for k in range(3)]
    entries = json.loads((out / "variations.json").read_text())["masks"]
    assert [entry["name"] for entry in entries] == names
    assert {entry["source"] for entry in entries} == {"cell_0.png", "cell_1.png"}
    for name in names:
        labels = read_labels(out / "masks" / f"{name}.png")
        assert set(np.unique(labels)) <= {1, 2}
        assert read_grey(out / "images" / f"{name}.png").shape == labels.shape
    assert (out / "overview.png").is_file()
    assert "6 masks of 2" in capsys.readouterr().out


def test_variations_of_variations_note_the_first_source(folders):
    """A study that holds out the first mask refuses them all."""
    for source, out in (("masks", "once"), ("once/masks", "twice"), ("twice/masks", "thrice")):
        vary_masks.main([str(folders / source), str(folders / out), "--copies", "1"])
    (_, last) = json.loads((folders / "thrice" / "variations.json").read_text())["masks"]
    made_from = ("twice/masks/cell_1_v0_v0", "once/masks/cell_1_v0", "masks/cell_1")
    assert last["checksums"] == [sha256_of(folders / f"{name}.png") for name in made_from]


def test_masks_of_one_class_are_warned_of(folders):
    for path in (folders / "masks").iterdir():
        write_png(path, np.zeros((64, 64), np.uint8))
    with pytest.warns(Notice, match="masks: all 2 masks hold class 0 alone"):
        vary_masks.main([str(folders / "masks"), str(folders / "new"), "--dry_run"])


def test_masks_in_jpeg_files_are_warned_of(folders):
    Image.fromarray(np.ones((64, 64), np.uint8)).save(folders / "masks" / "odd.jpg")
    with pytest.warns(Notice, match="masks: 1 of 3 files of labels .*, for example odd.jpg"):
        vary_masks.main([str(folders / "masks"), str(folders / "new"), "--dry_run"])


def test_the_number_of_processes_and_of_masks_changes_nothing(folders):
    command = [str(folders / "masks"), "--copies", "2", "--objects", "2"]
    vary_masks.main([command[0], str(folders / "one"), *command[1:], "--num_workers", "0"])
    vary_masks.main([command[0], str(folders / "two"), *command[1:], "--num_workers", "2"])
    assert files(folders / "one") == files(folders / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objects", "3"], "3 is no class"),
        (["--objects", "0"], "shows no region"),
        (["--move", "0.9", "--objects", "2"], "exceed 1"),
        (["--insert", "1"], "--insert: has no effect without --objects"),
        (["--scaling", "0.5"], "below 1"),
        (["--image_path", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(folders, capsys, options, message):
    out = folders / "new"
    command = [str(folders / "masks"), str(out), "--num_workers", "0", *options]
    with pytest.raises((SystemExit, ValueError, OSError)) as refusal:
        vary_masks.main(command)
    assert message in capsys.readouterr().err + str(refusal.value)
    assert not out.exists()


def test_an_existing_folder_is_refused(folders):
    with pytest.raises(FileExistsError, match="masks"):
        vary_masks.main([str(folders / "masks"), str(folders / "masks")])
