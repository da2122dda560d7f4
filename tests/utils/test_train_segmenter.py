"""The two commands of the segmenter: what they write and print, what they refuse."""

import json
import shutil

import numpy as np
import pytest
import torch

from core.files import write_json
from core.imaging.images import read_image
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from core.recording.run_lock import RunLock
from segmentation.network import load_segmenter
from tests.blobs import blobs, write_pairs
from utils.train_segmenter import main, parse_args


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("blobs")
    for name, count, seed in (("train", 24, 0), ("val", 8, 1)):
        write_pairs(root / name, *blobs(count, seed))
    return root


def options(folders, command, **changes):
    """The command line for the blobs; an option that is None is left out."""
    given = {
        "image_path": folders / "train/images",
        "mask_path": folders / "train/masks",
        **changes,
    }
    words = [command]
    for name, value in given.items():
        if value is not None:
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words


def pairs_in(folder):
    return {"image_path": folder / "images", "mask_path": folder / "masks"}


def test_the_two_commands(folders, tmp_path, capsys):
    """Two folders mixed, two steps, a score with everything: what a user types."""
    mixed = {
        "image_path": [folders / "train/images", folders / "val/images"],
        "mask_path": [folders / "train/masks", folders / "val/masks"],
    }
    validation = {"val_image_path": folders / "val/images", "val_mask_path": folders / "val/masks"}
    checkpoint, scores, picture = (
        tmp_path / "new" / name for name in ("seg.ckpt", "scores.json", "rows.png")
    )
    small = {"max_steps": 2, "batch_size": 4, "image_size": 32, "device": "cpu"}
    main(options(folders, "train", output=checkpoint, **mixed, **validation, **small))
    out = capsys.readouterr().out
    assert (
        "training on 32 images, validating on 8: 2 steps of 4 crops on cpu" in out
        and "validation: mIoU 0." in out
    )
    assert load_segmenter(checkpoint).meta["options"]["max_steps"] == 2
    held_out = {"image_path": folders / "val/images", "mask_path": folders / "val/masks"}
    main(
        [
            *options(
                folders, "score", checkpoint=checkpoint, output=scores, picture=picture, **held_out
            ),
            "--shuffled",
        ]
    )
    result = json.loads(scores.read_text())
    assert result["miou"] == pytest.approx(load_segmenter(checkpoint).meta["val"]["miou"])
    assert result["images"] == 8 and len(result["iou_shuffled"]) == 3
    assert read_image(picture).shape == (6 * 66, 3 * 64, 3)
    with pytest.raises(FileExistsError, match="scores.json"):
        main(options(folders, "score", checkpoint=checkpoint, output=scores, **held_out))


def test_generated_pairs_are_a_second_source(folders, tmp_path, capsys):
    small = {"max_steps": 2, "batch_size": 2, "image_size": 32, "device": "cpu"}
    generated = {
        "synthetic_image_path": folders / "val/images",
        "synthetic_mask_path": folders / "val/masks",
        "mix": ["real=1", "synthetic=3"],
        "augmentation": "strong",
        "synthetic_first": 1,
    }
    checkpoint = tmp_path / "mixed.ckpt"
    main(options(folders, "train", output=checkpoint, **generated, **small))
    assert "training on 24 images and 8 generated ones" in capsys.readouterr().out
    saved = load_segmenter(checkpoint).meta["options"]
    assert saved["mix"] == [["real", 1.0], ["synthetic", 3.0]]


# Bad input


def test_bad_input_is_found_before_training(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "segmentation.saving.train_segmenter",
        lambda *args, **kwargs: pytest.fail("training began"),
    )
    taken, wanted = tmp_path / "taken.ckpt", tmp_path / "wanted.ckpt"
    taken.write_text("precious")
    lock = RunLock.of_file(wanted, "training a segmenter")  # of another process
    lock.acquire()
    grey = tmp_path / "grey"
    write_pairs(grey, [np.zeros((8, 8))] * 2, [np.full((8, 8), 255)] * 2)
    cases = [
        ({"mask_path": tmp_path / "nowhere"}, FileNotFoundError, "nowhere: no such folder"),
        (
            {"image_path": grey / "images", "mask_path": grey / "masks"},
            ValueError,
            "00.png: found value.*255",
        ),
        ({"output": taken}, FileExistsError, "taken.ckpt: exists already"),
        ({"output": wanted}, RuntimeError, "wanted.ckpt: process .* is training a segmenter here"),
        ({"output": "/proc/seg.ckpt"}, OSError, "/proc/.seg.ckpt"),
        ({"encoder": "resnet19"}, ValueError, "--encoder: resnet19"),
        ({"encoder": "tu-hf-hub:someone/network"}, ValueError, "--encoder: tu-hf-hub"),
        ({"device": "warp"}, ValueError, "--device: warp"),
        ({"mix": "synthetic=1"}, ValueError, "--mix: synthetic=1, but there are no synthetic"),
        ({"synthetic_first": 2}, ValueError, "--synthetic_first: there are no synthetic pairs"),
        (
            {"synthetic_image_path": folders / "val/images"},
            ValueError,
            "--synthetic_mask_path: 0 folders, --synthetic_image_path names 1",
        ),
        (
            {"val_image_path": grey / "images", "val_mask_path": folders / "val/masks"},
            RuntimeError,
            "grey",
        ),
    ]
    if not torch.cuda.is_available():
        cases.append(({"device": "cuda"}, ValueError, "--device: cuda"))
    for changes, error, text in cases:
        with pytest.raises(error, match=text) as caught:
            main(options(folders, "train", **{"output": tmp_path / "seg.ckpt", **changes}))
        assert "\n" not in str(caught.value), changes
    assert taken.read_text() == "precious"
    lock.close()


@pytest.mark.parametrize(
    "changes, text",
    [
        (
            {"image_path": ["a", "b"]},
            "--mask_path: 1 folders, --image_path names 2",
        ),
        (
            {"val_image_path": "a"},
            "--val_mask_path: 0 folders, --val_image_path names 1",
        ),
        ({"num_classes": 1}, "--num_classes: 1, expected at least 2"),
        ({"image_size": 100}, "--image_size: 100 is no multiple of 32"),
        ({"max_steps": 0}, "--max_steps: 0 is below 1"),
        (
            {"patience": 2, "val_image_path": None, "val_mask_path": None},
            "--patience: nothing is validated without --val_image_path",
        ),
        ({"output": None}, "--output"),
        ({"epochs": 2, "max_steps": 2}, "not allowed with"),
    ],
)
def test_wrong_options(folders, changes, text, error_line):
    assert text in error_line(main, *options(folders, "train", **{"output": "seg.ckpt", **changes}))


@pytest.mark.parametrize("command", [["train"], ["score"]])
def test_help_names_options_and_defaults(command, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args([*command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--mask_path" in out and "(default: auto)" in out


def test_dry_runs_write_nothing(folders, tmp_path, capsys):
    checkpoint = tmp_path / "new" / "seg.ckpt"
    with pytest.warns(Notice, match="--epochs 2 of so few images are only 3 steps"):
        main([*options(folders, "train", output=checkpoint, epochs=2, device="cpu"), "--dry_run"])
    shown = capsys.readouterr().out
    assert "3 steps of 16 crops on cpu" in shown and f"checkpoint: {checkpoint}" in shown
    assert not list(tmp_path.iterdir())
    # what it prints is an options file that gives the same run
    file = tmp_path / "run.yaml"
    file.write_text(shown[: shown.index("training on")])
    with pytest.warns(Notice):
        main(["train", "--options_file", str(file), "--dry_run"])
    assert capsys.readouterr().out == shown


def test_pixel_sizes_are_recorded_and_compared(folders, tmp_path):
    small = {"max_steps": 1, "batch_size": 2, "image_size": 32, "device": "cpu"}
    for name, side in (("fine", 4), ("coarse", 8)):
        shutil.copytree(folders / "val", tmp_path / name)
        write_json(tmp_path / name / "images" / VOLUME, {"pixel_size_nm": [side, side]})
    checkpoint = tmp_path / "seg.ckpt"
    main(options(folders, "train", output=checkpoint, **small, **pairs_in(tmp_path / "fine")))
    assert load_segmenter(checkpoint).meta["pixel_size_nm"] == [4, 4]
    with pytest.warns(Notice, match="coarse.images has pixels of 8 nm, but .*seg.ckpt"):
        words = options(folders, "score", checkpoint=checkpoint, **pairs_in(tmp_path / "coarse"))
        main([*words, "--device", "cpu", "--dry_run"])
    # Resampled, the same pairs are scored at half their size.
    scores = tmp_path / "scores.json"
    main([*words, "--pixel_size", "16", "--device", "cpu", "--output", str(scores)])
    assert 0 <= json.loads(scores.read_text())["miou"] <= 1
