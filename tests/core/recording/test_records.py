"""Records of runs: what is stored, what is struck out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.recording import records
from core.recording.records import Record, read_checked


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


class Position(Record):
    step: pydantic.NonNegativeInt
    state: Literal["running", "done"]
    loss: float | None = None


def test_a_record_is_read_with_its_types_and_defaults(tmp_path):
    path = tmp_path / "position.json"
    path.write_text('{"step": 3, "state": "done", "later": [1]}')
    found = read_checked(path, Position)
    assert (found.step, found.state, found.loss) == (3, "done", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged or edited"),
        ("[1]", "damaged or edited"),
        ('{"step": 3', "damaged or edited"),
        ('{"state": "done"}', "step: Field required"),
        ('{"step": "3", "state": "done"}', "step: .*integer"),
        ('{"step": -1, "state": "done"}', "step: .*greater"),
        ('{"step": 3, "state": "evil"}', "state: .*'running' or 'done'"),
        ('{"step": 3, "state": "done", "loss": NaN}', "loss: .*finite"),
        ("[" * 100_000, "damaged or edited"),
        ('{"step": 3, "state": "done", "step": 4}', "step stands there twice"),
        ('{"step": 3, "state": "done", "later": [{"a": 1, "a": 2}]}', "a stands there twice"),
    ],
)
def test_a_wrong_record_is_one_line_with_file_and_field(tmp_path, text, message):
    path = tmp_path / "position.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{path}: .*{message}") as refusal:
        read_checked(path, Position)
    assert len(str(refusal.value)) < 400


def test_the_marks_of_editors_change_nothing(tmp_path):
    path = tmp_path / "position.json"
    path.write_bytes(b'\xef\xbb\xbf{"step": 3,\r\n"state": "done"}\r\n')
    assert read_checked(path, Position).step == 3


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="any.json"):  # none of so few bytes is a whole record
        read_checked(path, Position)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match="expected a file"):
            read_checked(tmp_path / name, Position)
    with pytest.raises(FileNotFoundError, match="not there"):
        read_checked(tmp_path / "missing", Position)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(records.MAX_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 1024 MiB"):
        read_checked(tmp_path / "huge", Position)
