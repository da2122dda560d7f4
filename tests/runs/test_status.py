"""Status rows, silence, and which folders are runs of which kind."""

import json

import pytest

from runs.status import PATIENCE, Status, find_runs, is_silent, is_training, status_table


def test_a_row_shows_pace_time_left_and_last_sign():
    status = Status("run", "running", "steps", 250, 1000, 2.0, seen=400.0, notes="loss 0.1")
    assert status.row(now=490.0) == [
        "run",
        "running",
        "250 / 1,000 steps",
        "2.00 s",
        "25.0 min",
        "90.0 s ago",
        "loss 0.1",
    ]


@pytest.mark.parametrize("state", ["done", "stopped", "stalled", "failed"])
def test_only_a_running_run_has_time_left(state):
    assert Status("run", state, "steps", 250, 1000, 2.0).row(0)[4] == ""


def test_what_is_not_known_is_empty():
    assert Status("run", "waiting", "steps", 3).row(0) == ["run", "waiting", "3 steps", *[""] * 4]
    assert Status("run", "damaged").row(0) == ["run", "damaged", *[""] * 5]
    assert "last sign" not in status_table([Status("run", "damaged")], 0)


def test_a_slow_run_gets_the_time_of_its_own_steps():
    assert not is_silent(now=100, seen=0, pace=None, stalled_after=100)
    assert is_silent(now=101, seen=0, pace=None, stalled_after=100)
    assert not is_silent(now=101, seen=0, pace=101 / PATIENCE, stalled_after=100)


def test_runs_are_found_below_but_not_inside_each_other(tmp_path):
    for run in ("b/args.json", "a/deep/progress.json", "b/inner/args.json", ".hidden/args.json"):
        (tmp_path / run).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / run).touch()
    (tmp_path / "run_c").mkdir()
    found = [str(run.relative_to(tmp_path)) for run in find_runs(tmp_path)]
    assert found == ["a/deep", "b", "run_c"]
    assert [run.name for run in find_runs(tmp_path, depth=1)] == ["b", "run_c"]


@pytest.mark.parametrize(
    ("record", "training"),
    [
        ({"kind": "training", "args": {}}, True),
        ({"kind": "generation", "args": {"cldm_config_path": "x"}}, False),
        ({"args": {"cldm_config_path": "x"}}, True),  # older records have no kind
        ({"args": {"config_yaml_path": "x"}}, False),
    ],
)
def test_the_record_says_what_kind_of_run_it_is(tmp_path, record, training):
    (tmp_path / "args.json").write_text(json.dumps(record))
    assert is_training(tmp_path) is training
