"""The folder of a training run: made whole, locked, opened again."""

import json

import pytest

from core.files import write_json
from core.recording.records import RECORD
from core.recording.run_lock import RunLock
from training.folder import run_folder
from training.folder.run_folder import RunFolder
from training.folder.start_record import START


def write_record(path):
    write_json(path, {"args": {"seed": 3}})


def test_a_new_folder_has_its_records_and_is_locked(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "new")
    folder.open(write_record, {"start.json": {"weights": {}}}, may_exist=False)
    assert json.loads((folder.path / RECORD).read_text()) == {"args": {"seed": 3}}
    assert json.loads((folder.path / "start.json").read_text()) == {"weights": {}}
    with pytest.raises(RuntimeError, match="is training here"):
        RunLock(folder.path, "training").acquire()
    folder.lock.close()


def test_a_killed_process_leaves_no_folder(tmp_path):
    """Nothing has the name of the run before all records are there."""

    def killed(path):
        assert not (tmp_path / "new").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path / "new").open(killed, {}, may_exist=False)
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_of_first_weights_is_found_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "restore_last", lambda folder: None)
    (tmp_path / START).write_text("{}")
    with pytest.raises(ValueError, match=f"{START}: damaged or edited"):
        RunFolder(tmp_path).reopen(None, {}, {})


def test_a_name_that_is_taken(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OSError, match=str(tmp_path)):
        RunFolder(tmp_path).open(write_record, {}, may_exist=False)
    folder = RunFolder(tmp_path)
    folder.open(write_record, {}, may_exist=True)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", RECORD, ".lock"}
    with pytest.raises(RuntimeError, match="is training here"):
        RunFolder(tmp_path).open(write_record, {}, may_exist=True)
    folder.lock.close()
