"""What Lightning trainings share: checkpoints, precision, the end after a signal."""

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from core.checkpoints import load_state_dict
from core.devices import PRECISIONS
from core.lightning import WholeFileIO, lightning_precision, position, stop_as_interrupt


def test_safetensors_hold_the_kept_weights_alone(tmp_path):
    weights = {"control_model.a": torch.ones(2), "model.b": torch.zeros(2)}
    io = WholeFileIO(kept=("control_model.",))
    io.save_checkpoint({"state_dict": weights, "epoch": 3}, tmp_path / "new" / "best.safetensors")
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


@pytest.mark.parametrize("precision", PRECISIONS)
def test_lightning_knows_every_precision(precision):
    name = lightning_precision(precision)
    assert name == {"16": "16-mixed", "32": "32-true", "bf16": "bf16-mixed"}[precision]


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
    with pytest.raises(ValueError, match="another"), stop_as_interrupt():
        raise ValueError("another error passes")
