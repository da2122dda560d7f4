"""The segmenter: learns, measures by hand-computed figures, survives a round trip, refuses bad input in one line."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.images import read_image, write_png
from dataset import find_pairs
from utils.train_segmenter import (
    build_segmenter,
    disturb,
    draw_rows,
    learning_rate_factor,
    load_segmenter,
    main,
    other_masks,
    parse_args,
    predict,
    reflect_to,
    save_segmenter,
    score,
    train_segmenter,
)

SCRIPT = Path(__file__).resolve().parents[2] / "utils" / "train_segmenter.py"
LEVELS = np.array([60, 140, 220])  # grey level of each class
STEPS = 50


class OneHot(torch.nn.Module):
    """Predicts class i where a 3-class image is nearest to the grey level i / 2: a segmenter whose answers are known."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return -torch.cat([(x - i / 2).abs() for i in range(3)], dim=1)


def write_pairs(folder, images, masks):
    for kind, arrays in (("images", images), ("masks", masks)):
        (folder / kind).mkdir(parents=True)
        for i, pixels in enumerate(arrays):
            write_png(folder / kind / f"{i:02d}.png", np.asarray(pixels, dtype=np.uint8))
    return find_pairs(folder / "images", folder / "masks")


def blobs(count, seed, size=64):
    """Noisy pictures of a disk (1) with a core (2) somewhere on the ground (0), and their masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    masks = []
    for _ in range(count):
        distance = np.hypot(y - rng.uniform(12, size - 12), x - rng.uniform(12, size - 12))
        masks.append((distance < 16).astype(int) + (distance < 8))
    return [(LEVELS[mask] + rng.normal(0, 15, mask.shape)).clip(0, 255) for mask in masks], masks


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("blobs")
    for name, count, seed in (("train", 24, 0), ("val", 8, 1)):
        write_pairs(root / name, *blobs(count, seed))
    return root


@pytest.fixture(scope="module")
def sets(folders):
    return [
        find_pairs(folders / name / "images", folders / name / "masks") for name in ("train", "val")
    ]


@pytest.fixture(scope="module")
def trained(sets):
    return train_segmenter(sets[0], [], 3, STEPS, batch_size=8, crop=64)


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


# Learning


def test_learns_blobs_and_shuffled_masks_score_lower(trained, sets):
    result = score(trained, sets[1], 3, shuffled=True)
    assert result["miou"] > 0.85
    assert result["miou_shuffled"] < 0.5 * result["miou"]
    assert result["images"] == 8
    untrained = score(build_segmenter(3), sets[1], 3)
    assert untrained["miou"] < 0.5


def test_equal_seeds_give_equal_weights_and_leave_the_callers_randomness_alone(sets):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    models = [
        train_segmenter(sets[0][:4], [], 3, steps=2, batch_size=2, crop=32, seed=seed)
        for seed in (5, 5, 6)
    ]
    assert torch.equal(torch.rand(3), expected)
    first, second, other = ([p.detach() for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_returns_the_weights_of_the_best_validation(sets, monkeypatch):
    """The validation after the second of five steps is made the best: training on must not change the result."""
    seen = []

    def fake_score(model, pairs, num_classes):
        seen.append(next(model.parameters()).detach().clone())
        return {"miou": 0.9 if len(seen) == 2 else 0.1}

    monkeypatch.setattr("utils.train_segmenter.score", fake_score)
    model = train_segmenter(sets[0][:4], sets[1], 3, steps=5, batch_size=2, crop=32)
    assert len(seen) == 5
    assert torch.equal(next(model.parameters()), seen[1])
    assert not torch.equal(seen[1], seen[4])


def test_learning_rate_rises_and_falls():
    assert [learning_rate_factor(0, 1), learning_rate_factor(0, 10)] == [1.0, 1.0]
    factors = [learning_rate_factor(step, 100) for step in range(101)]
    assert factors[0] < 0.2 < 0.9 < max(factors) <= 1
    assert factors[100] == pytest.approx(0)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_disturbed_images_differ_but_stay_in_range():
    image = torch.rand(1, 1, 16, 16).repeat(6, 1, 1, 1)
    torch.manual_seed(0)
    out = disturb(image)
    assert out.shape == image.shape and out.min() >= 0 and out.max() <= 1
    assert all(
        not torch.equal(out[0], other) for other in out[1:]
    )  # each image of a batch has its own disturbance


# Scoring


def test_score_is_what_counting_by_hand_gives(tmp_path):
    """First image: 3 of 4 pixels right; second: class 1 throughout, right. Class 2 never occurs."""
    images = [[[0, 0], [128, 128]], [[128, 128]]]
    masks = [[[0, 1], [1, 1]], [[1, 1]]]
    pairs = write_pairs(tmp_path, images, masks)
    result = score(OneHot(), pairs, 3)
    assert result["iou"] == [
        pytest.approx(1 / 2),
        pytest.approx(4 / 5),
        None,
    ]  # pooled over both images
    assert result["miou"] == pytest.approx((1 / 2 + 4 / 5) / 2)  # the absent class is left out


def test_perfect_and_shuffled_scores_by_hand(tmp_path):
    masks = [np.full((2, 2), i) for i in (0, 0, 1)]  # two images of one mask
    pairs = write_pairs(tmp_path, [mask * 127.5 for mask in masks], masks)
    result = score(OneHot(), pairs, 3, shuffled=True)
    assert (result["miou"], result["iou"]) == (1, [1, 1, None])
    assert (result["miou_shuffled"], result["iou_shuffled"]) == (
        0,
        [0, 0, None],
    )  # the equal mask is no other mask


def test_other_masks_have_equal_size_and_other_content(tmp_path):
    masks = [np.zeros((4, 4)), np.zeros((4, 4)), np.ones((4, 4)), np.ones((4, 6))]
    pairs = write_pairs(tmp_path, masks, masks)
    names = [[path.name for path in others] for others in other_masks(pairs)]
    assert names == [["02.png"], ["02.png"], ["00.png", "01.png"], []]
    many = [np.full((2, 2), i) for i in range(40)]
    assert {len(others) for others in other_masks(write_pairs(tmp_path / "many", many, many))} == {
        8
    }
    for same in (pairs[:1], pairs[:2]):
        with pytest.raises(ValueError, match="--shuffled needs at least two different masks"):
            other_masks(same)
    with pytest.raises(ValueError, match="no image"):
        score(OneHot(), [], 3)


def test_any_image_size(trained, tmp_path):
    for height, width in ((33, 70), (1, 5), (64, 32)):
        labels = predict(trained, torch.rand(1, height, width))
        assert labels.shape == (height, width)
    image = torch.rand(1, 64, 96)
    odd = predict(trained, image[:, :61, :90])
    assert (
        odd[:32, :32] == predict(trained, image)[:32, :32]
    ).float().mean() > 0.9  # far from the seam nothing changes
    small = write_pairs(tmp_path, [np.full((9, 50), 60)] * 2, [np.zeros((9, 50))] * 2)
    train_segmenter(
        small, [], 2, steps=1, batch_size=2, crop=64
    )  # both sides are smaller than the crop


def test_reflection():
    x = torch.tensor([[1, 2, 3]])
    assert reflect_to(x, 2, 8).tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 2
    assert torch.equal(reflect_to(x, 1, 2), x)


def test_picture_shows_image_mask_and_prediction(tmp_path):
    mask = np.array([[0, 1], [2, 2]])
    pairs = write_pairs(tmp_path, [[[0, 128], [255, 0]], [[0]]], [mask, [[2]]])
    picture = draw_rows(OneHot(), pairs, 3)
    assert picture[:2].tolist() == [[0, 128, 0, 128, 0, 128], [255, 0, 255, 255, 255, 0]]
    assert picture[4].tolist() == [
        0,
        255,
        0,
        255,
        255,
        255,
    ]  # the second, narrower row is filled up with white


# Files


def test_round_trip_gives_identical_predictions(trained, sets, tmp_path):
    path = tmp_path / "seg.ckpt"
    save_segmenter(path, trained, {"note": "test", "val": {"miou": 0.5}})
    again = load_segmenter(path)
    assert again.meta == {"note": "test", "val": {"miou": 0.5}}
    assert again.architecture["num_classes"] == 3
    image = torch.rand(1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(image[None]), trained(image[None]))
    with pytest.raises(FileExistsError, match="--overwrite"):
        save_segmenter(path, trained, {})
    save_segmenter(path, trained, {"note": "new"}, overwrite=True)
    assert load_segmenter(path).meta == {"note": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["seg.ckpt"]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap_was_sprung",)


def test_refuses_files_that_are_no_segmenter(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_segmenter("good.ckpt", trained, {})
    Path("text.ckpt").write_text("hello")
    Path("empty.ckpt").touch()
    Path("short.ckpt").write_bytes(Path("good.ckpt").read_bytes()[:5000])
    torch.save({"state_dict": {}}, "other.ckpt")
    torch.save([1], "list.ckpt")
    content = torch.load("good.ckpt", weights_only=True)
    content["state_dict"].popitem()
    torch.save(content, "incomplete.ckpt")
    torch.save({"format": Trap()}, "trap.ckpt")
    Path("pickle.ckpt").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("text", "empty", "short", "other", "list", "incomplete", "trap", "pickle"):
        with pytest.raises(ValueError, match=f"{name}.ckpt: .*no segmenter") as caught:
            load_segmenter(f"{name}.ckpt")
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load_segmenter("missing.ckpt")
    assert not Path("trap_was_sprung").exists()


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


# Bad input


def test_bad_input_is_found_before_training(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "utils.train_segmenter.train_segmenter",
        lambda *args, **kwargs: pytest.fail("training began"),
    )
    taken = tmp_path / "taken.ckpt"
    taken.write_text("precious")
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
        ({"encoder": "resnet19"}, ValueError, "--encoder resnet19"),
        ({"encoder": "tu-hf-hub:someone/network"}, ValueError, "--encoder tu-hf-hub"),
        ({"device": "warp"}, ValueError, "--device warp"),
        (
            {"val_image_path": grey / "images", "val_mask_path": folders / "val/masks"},
            RuntimeError,
            "grey",
        ),
    ]
    if not torch.cuda.is_available():
        cases.append(({"device": "cuda"}, ValueError, "--device cuda"))
    for changes, error, text in cases:
        with pytest.raises(error, match=text) as caught:
            main(options(folders, "train", **{"output": tmp_path / "seg.ckpt", **changes}))
        assert "\n" not in str(caught.value), changes
    assert taken.read_text() == "precious"


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"image_path": ["a", "b"]}, "--image_path names 2 folders, --mask_path 1"),
        ({"val_image_path": "a"}, "--val_image_path names 1 folders, --val_mask_path 0"),
        ({"num_classes": 1}, "--num_classes must be at least 2"),
        ({"image_size": 100}, "--image_size 100 is no multiple of 32"),
        ({"max_steps": 0}, "--max_steps: 0 is below 1"),
        ({"output": None}, "--output"),
        ({"epochs": 2, "max_steps": 2}, "not allowed with"),
    ],
)
def test_wrong_options(folders, changes, text, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args(options(folders, "train", **{"output": "seg.ckpt", **changes}))
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train"], ["score"]])
def test_help_names_options_and_defaults(command, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_args([*command, "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--mask_path" in out and "(default: auto)" in out


def test_script_ends_with_one_line_and_exit_code_1(folders, tmp_path):
    command = options(folders, "score", checkpoint=tmp_path / "missing.ckpt")
    done = subprocess.run(
        [sys.executable, SCRIPT, *command], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 1
    assert (
        done.stderr.count("\n") == 1
        and "missing.ckpt" in done.stderr
        and "train_segmenter.py: error:" in done.stderr
    )
