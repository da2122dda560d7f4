"""The state of a run as the published code and notebooks write it."""

import argparse
import json
import os
import time
from pathlib import Path

import pytest

import generate
from generate import load_generation_state, save_generation_state
from runs.status import run_statuses

ARGS = argparse.Namespace(
    mask_dir=Path("masks"), n_augmentations_per_mask=3, batch_size_per_inference=2, seed=-1
)
RECORDS = [{"mask": f"masks/{name}.png", "edge": f"edges/{name}.png"} for name in "ab"]
MASKS = [record["mask"] for record in RECORDS]


def save(folder, **changes):
    """The call of the published main."""
    published = dict(condition_records=RECORDS, primary_condition_key="mask")
    return save_generation_state(ARGS, MASKS, str(folder), **published | changes)


def test_the_published_call_gives_the_published_keys(tmp_path):
    path = save(tmp_path / "runs" / "run_1")
    assert path == str(tmp_path / "runs" / "run_1" / "generate_state.json")
    state = load_generation_state(path)
    saved_at = state.pop("saved_at")
    assert saved_at[:2] == "20" and "T" in saved_at
    assert state == {
        "args": vars(ARGS) | {"mask_dir": "masks"},
        "condition_paths": MASKS,
        "primary_condition_key": "mask",
        "mask_paths": MASKS,
        "condition_records": RECORDS,
        "config": {"save_memory": False},
    }
    assert load_generation_state(tmp_path / "runs" / "run_1") == state | {"saved_at": saved_at}


def test_masks_follow_from_what_is_given(tmp_path):
    for changes, masks in (
        ({"condition_records": None}, MASKS),
        ({"condition_records": []}, MASKS),
        ({"condition_records": None, "primary_condition_key": "edge"}, []),
        ({"condition_records": [{"edge": "e.png"}, RECORDS[1]]}, MASKS[1:]),
        ({"condition_records": None, "primary_condition_key": None}, []),
    ):
        state = json.loads(Path(save(tmp_path, filename="s.json", **changes)).read_text())
        assert state["mask_paths"] == masks
        for key, value in changes.items():
            assert (key in state) == (value is not None)
    assert load_generation_state(tmp_path / "s.json")["condition_paths"] == MASKS
    save_generation_state({"seed": float("nan")}, (Path("a.png"),), tmp_path)
    assert load_generation_state(tmp_path)["args"] == {"seed": None}
    with pytest.raises(TypeError, match="args is a list, expected a Namespace or a mapping"):
        save_generation_state(["seed"], MASKS, tmp_path)


@pytest.mark.parametrize("key", ["args", "condition_paths", "mask_paths", "config", "saved_at"])
def test_a_state_without_a_published_key_is_not_read(tmp_path, key):
    path = Path(save(tmp_path))
    state = json.loads(path.read_text())
    del state[key]
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=f"generate_state.json: damaged or edited .{key}: Field"):
        load_generation_state(tmp_path)


def make_image(run, name, seconds_ago=0):
    for folder, prefix in (("images", "image"), ("conditions/mask", "mask")):
        path = run / folder / f"{prefix}_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"png")
        os.utime(path, (time.time() - seconds_ago,) * 2)


def test_runs_of_the_published_code_are_counted(tmp_path):
    """Two conditions with three images each, two in a batch."""
    save(tmp_path)

    def status(now):
        (status,) = run_statuses(tmp_path, time.time() + now, 60)
        return status

    assert (status(0).state, status(0).done, status(0).planned) == ("waiting", 0, 6)
    assert status(600).state == "stalled"
    names = [f"cond{i}_batch{b}_sample{s}.png" for i in (0, 1) for b, s in ((1, 0), (1, 1), (2, 0))]
    for k, name in enumerate(names[:4]):
        make_image(tmp_path, name, seconds_ago=4 - k)
    make_image(tmp_path, "cond0_batch2_sample1.png")  # of no image of the run
    assert (status(0).state, status(0).done) == ("running", 4)
    assert status(600).state == "stalled" and "cannot be resumed" in status(600).notes
    for name in names[4:]:
        make_image(tmp_path, name)
    assert (status(600).state, status(600).done) == ("done", 6)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"args": {"n_augmentations_per_mask": 10**12}}, "more than 10,000,000 images"),
        ({"args": {"n_augmentations_per_mask": "3"}}, "args.n_augmentations_per_mask: Input"),
        ({"condition_paths": [1]}, "condition_paths.0: Input"),
        ({"condition_paths": {"mask": MASKS}}, "args.json: not there"),  # a run of ours, damaged
    ],
)
def test_a_state_that_says_too_little_is_damaged(tmp_path, change, note):
    path = Path(save(tmp_path))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (status,) = run_statuses(tmp_path, 0, 60)
    assert status.state == "damaged" and note in status.notes


def test_a_run_of_the_published_code_cannot_be_resumed(tmp_path, error_line):
    save(tmp_path)
    line = error_line(generate.main, "--resume_run", tmp_path)
    assert "generate_state.json: begun by the published code or a notebook" in line
