"""`progress.json` of a training, from hand-made states of a trainer."""

import json
from types import SimpleNamespace

import pytest

from core.files import write_json
from core.recording import progress
from core.recording.progress import EVERY, Progress
from core.recording.records import read_checked
from core.recording.run_files import LAST, PROGRESS, ProgressRecord


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, which stands still until a test sets `clock.now`."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def trainer():
    return SimpleNamespace(
        global_step=0, estimated_stepping_batches=40, is_global_zero=True, should_stop=False
    )


def content(folder):
    return json.loads((folder / PROGRESS).read_text())


def test_pace_counts_from_the_first_step_of_this_process(tmp_path, clock, trainer):
    trainer.global_step = 10  # a resumed run
    callback = Progress(tmp_path)
    callback.on_train_start(trainer, None)
    before = content(tmp_path)
    assert before["state"] == "running" and before["total_steps"] == 40
    assert before["step"] == 10 and before["seconds_per_step"] is None
    clock.now, trainer.global_step = EVERY, 14
    callback.on_train_batch_end(trainer, None, {"loss": 0.25}, None, 0)
    after = content(tmp_path)
    assert after["step"] == 14 and after["loss"] == 0.25
    assert after["seconds_per_step"] == EVERY / 4


def test_the_file_is_not_written_at_every_step(tmp_path, clock, trainer):
    callback = Progress(tmp_path)
    callback.on_train_start(trainer, None)
    clock.now, trainer.global_step = EVERY - 1, 5
    callback.on_train_batch_end(trainer, None, {"loss": 1.0}, None, 0)
    assert content(tmp_path)["step"] == 0


def test_a_training_without_end_has_no_total(tmp_path, trainer):
    trainer.estimated_stepping_batches = float("inf")
    Progress(tmp_path).on_train_start(trainer, None)
    assert content(tmp_path)["total_steps"] is None


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt(), "stopped", None),
        (ValueError("loss\n is nan"), "failed", "loss is nan"),
    ],
)
def test_the_end_says_how_it_came(tmp_path, trainer, error, state, message):
    callback = Progress(tmp_path)
    callback.on_train_start(trainer, None)
    callback.on_exception(trainer, None, error)
    assert content(tmp_path)["state"] == state and content(tmp_path)["error"] == message
    callback.on_train_end(trainer, None)
    assert content(tmp_path)["state"] == "done" and not content(tmp_path)["ended_early"]
    for step, ended_early in ((40, False), (39, True)):
        trainer.global_step, trainer.should_stop = step, True
        callback.on_train_end(trainer, None)
        assert content(tmp_path)["ended_early"] == ended_early


def test_a_full_disk_hides_neither_the_end_nor_its_reason(tmp_path, trainer, monkeypatch):
    callback = Progress(tmp_path)
    callback.on_train_start(trainer, None)

    def full_disk(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(progress, "write_json", full_disk)
    callback.on_exception(trainer, None, OSError(28, "No space left on device", "last.ckpt"))
    record = read_checked(tmp_path / PROGRESS, ProgressRecord)
    assert record.state == "failed" and "last.ckpt" in record.error
    assert [path.name for path in tmp_path.iterdir()] == [PROGRESS]


def test_the_step_of_the_last_checkpoint_is_noted(tmp_path, trainer):
    callback = Progress(tmp_path)
    callback.on_load_checkpoint(trainer, None, {"global_step": 7})
    callback.on_train_start(trainer, None)
    assert content(tmp_path)["checkpoint_step"] == 7
    callback.on_save_checkpoint(trainer, None, {"global_step": 9})
    callback.on_exception(trainer, None, OSError("No space left on device"))
    assert content(tmp_path)["checkpoint_step"] == 7  # nothing was written
    for step in (9, 12):
        callback.on_save_checkpoint(trainer, None, {"global_step": step})
        write_json(tmp_path / LAST, step)
        callback.teardown(trainer, None, "fit")
        assert content(tmp_path)["checkpoint_step"] == step
    read_checked(tmp_path / PROGRESS, ProgressRecord)


def test_a_training_that_had_nothing_left_to_do_is_done(tmp_path, trainer):
    """Its record may have said that it failed, or was damaged."""
    (tmp_path / PROGRESS).write_text("{}")
    callback = Progress(tmp_path)
    callback.on_load_checkpoint(trainer, None, {"global_step": 7})
    trainer.global_step = 7
    callback.teardown(trainer, None, "fit")
    record = read_checked(tmp_path / PROGRESS, ProgressRecord)
    assert (record.state, record.step, record.total_steps) == ("done", 7, 7)


def test_only_the_first_process_writes(tmp_path, trainer):
    trainer.is_global_zero = False
    Progress(tmp_path).on_train_start(trainer, None)
    assert not (tmp_path / PROGRESS).exists()
