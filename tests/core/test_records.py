"""Records of runs: what is stored, what is struck out."""

import json
import subprocess
from pathlib import Path

import pytest

from core import records


def test_secrets_are_struck_out_of_the_command_line():
    command = (
        "train.py --wandb_api_key KEY --seed 1 --wandb_api_key=KEY --wandb_a KEY --wandb_project p"
    )
    shown = records.without_secrets(command.split(), ["wandb_api_key"])
    assert "KEY" not in shown and not any("=KEY" in word for word in shown)
    assert shown[3:6] == ["--seed", "1", "--wandb_api_key=***"]
    assert shown[-2:] == ["--wandb_project", "p"]


def test_names_of_runs_sort_by_time_and_differ():
    names = [records.new_run_id() for _ in range(50)]
    assert len(set(names)) == 50
    times = [name.partition("_p")[0] for name in names]
    assert times == sorted(times)


def test_a_record_holds_options_without_secrets(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "--wandb_api_key", "KEY"])
    options = {"wandb_api_key": "KEY", "seed": 3, "output": Path("out")}
    records.write_run_record(tmp_path / "args.json", options, "training", ["wandb_api_key"])
    text = (tmp_path / "args.json").read_text()
    assert "KEY" not in text
    record = json.loads(text)
    assert record["args"] == {"seed": 3, "output": "out"} == records.read_record(tmp_path)
    assert record["kind"] == "training"
    assert record["command"].endswith("train.py --wandb_api_key '***'")
    assert set(record["versions"]) == set(records.PACKAGES)


def test_a_folder_without_a_record_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="args.json: not there"):
        records.read_record(tmp_path)


@pytest.mark.parametrize(("changes", "expected"), [("", "abc123"), (" M a.py", "abc123+changes")])
def test_changes_mark_the_revision(changes, expected, monkeypatch):
    answers = iter(["abc123", changes])
    monkeypatch.setattr(records, "_git", lambda *_: next(answers))
    assert records.git_revision() == expected


def test_no_repository_is_no_revision(monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(records.subprocess, "run", fail)
    assert records.git_revision() is None
