"""What Lightning trainings share: checkpoints, precision, the end after a signal."""

import sys
import threading
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from core.hardware.devices import PRECISIONS
from core.lightning import (
    DAMAGED,
    LAST,
    PREVIOUS,
    WholeFileIO,
    lightning_precision,
    position,
    restore_last,
    stop_as_interrupt,
    wait_for_last,
)
from core.signals import StoppedForRequeue
from core.weights.checkpoints import load_state_dict


def test_safetensors_hold_the_kept_weights_alone(tmp_path):
    weights = {"control_model.a": torch.ones(2), "model.b": torch.zeros(2)}
    io = WholeFileIO(kept=("control_model.",))
    io.save_checkpoint(
        {"state_dict": weights, "global_step": 3}, tmp_path / "new" / "best.safetensors"
    )
    kept = load_state_dict(tmp_path / "new" / "best.safetensors")
    assert kept.keys() == {"control_model.a"} and torch.equal(
        kept["control_model.a"], torch.ones(2)
    )


def test_a_checkpoint_comes_back_whole(tmp_path):
    io, path = WholeFileIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"state_dict": {"a": torch.ones(2)}, "epoch": 3}, path)
    content = io.load_checkpoint(path)
    assert content["epoch"] == 3 and torch.equal(content["state_dict"]["a"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def saved(folder, *steps):
    """Checkpoints of these steps, written one after the other."""
    for step in steps:
        content = {"state_dict": {"a": torch.full((5000,), float(step))}, "global_step": step}
        WholeFileIO().save_checkpoint(content, folder / LAST)


def step_of(path):
    return WholeFileIO().load_checkpoint(path)["global_step"]


def test_the_checkpoint_before_the_last_is_kept(tmp_path):
    saved(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]
    assert (step_of(tmp_path / LAST), step_of(tmp_path / PREVIOUS)) == (3, 2)
    assert restore_last(tmp_path) is None


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_has_a_predecessor(tmp_path, damage):
    saved(tmp_path, 1, 20)
    damage(tmp_path / LAST)
    line = restore_last(tmp_path)
    assert str(tmp_path / LAST) in line and "one before, of step 1" in line
    assert step_of(tmp_path / LAST) == 1
    assert restore_last(tmp_path) is None
    assert (tmp_path / DAMAGED).exists() == (damage != Path.unlink)
    saved(tmp_path, 2)
    assert (step_of(tmp_path / LAST), step_of(tmp_path / PREVIOUS)) == (2, 1)


def test_where_both_are_damaged_nothing_is_moved(tmp_path):
    saved(tmp_path, 1, 2)
    for name in (LAST, PREVIOUS):
        flip_a_byte(tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"{LAST} and .*{PREVIOUS}: both .* start a new run"):
        restore_last(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_processes_wait_for_the_one_that_restores(tmp_path):
    saved(tmp_path, 1, 2)
    wait_for_last(tmp_path, seconds=0)  # it is sound
    flip_a_byte(tmp_path / LAST)
    with pytest.raises(ValueError, match="damaged"):
        wait_for_last(tmp_path, seconds=0)
    restoring = threading.Timer(0.2, restore_last, [tmp_path])
    restoring.start()
    wait_for_last(tmp_path, seconds=60)
    assert step_of(tmp_path / LAST) == 1
    restoring.join()
    flip_a_byte(tmp_path / LAST)
    with pytest.raises(ValueError, match="damaged"):  # at once: nothing is left to restore
        wait_for_last(tmp_path, seconds=60)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_lightning_knows_every_precision(precision):
    name = lightning_precision(precision)
    names = {"16": "16-mixed", "32": "32-true", "bf16": "bf16-mixed", "tf32": "32-true"}
    assert name == names[precision]


class Line(LightningModule):
    """One weight whose loss is its square."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Positions(Callback):
    """Saves a checkpoint after every batch and reads its position."""

    def __init__(self, path):
        self.path, self.found = path, []

    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(self.path)
        self.found.append(position(torch.load(self.path, weights_only=True)))


def test_position_after_each_batch_of_two_epochs(tmp_path):
    positions = Positions(tmp_path / "last.ckpt")
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[positions],
    )
    trainer.fit(Line(), DataLoader(range(3)))
    assert positions.found == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


def test_lightnings_exit_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt), stop_as_interrupt():
        raise SystemExit(1)
    with pytest.raises(StoppedForRequeue), stop_as_interrupt():
        try:
            raise StoppedForRequeue
        except KeyboardInterrupt:
            sys.exit(1)
    with pytest.raises(ValueError, match="another"), stop_as_interrupt():
        raise ValueError("another error passes")
