"""Means of an epoch, the history across resumptions, and the picture."""

from types import SimpleNamespace

import pytest
import torch

from core.imaging.images import read_image
from training.callbacks.loss_curve import LOSS_PICTURE, LossCurve


@pytest.fixture
def trainer():
    return SimpleNamespace(callback_metrics={}, global_step=0, is_global_zero=True)


@pytest.fixture
def curve(tmp_path, trainer, monkeypatch):
    """A curve whose log goes to the trainer's metrics, as Lightning's does."""
    curve = LossCurve(tmp_path)

    def log(name, value, **_):
        trainer.callback_metrics[name] = value

    monkeypatch.setattr(curve, "log", log, raising=False)  # Lightning adds it for a training
    return curve


def train(curve, trainer, *batches):
    """Steps with (loss, samples of the whole batch)."""
    for loss, size in batches:
        trainer.callback_metrics["train/loss_step"] = torch.tensor(loss)
        trainer.global_step += 1
        batch = SimpleNamespace(whole_batch=size)
        curve.on_train_batch_end(trainer, None, None, batch, 0)


def test_a_small_last_batch_counts_by_its_samples(curve, trainer):
    train(curve, trainer, (1.0, 4), (4.0, 2))
    curve.on_train_epoch_end(trainer, None)
    assert curve.history["train/loss_epoch"] == [(2, 2.0)]  # (1 * 4 + 4 * 2) / 6
    train(curve, trainer, (3.0, 4))
    curve.on_train_epoch_end(trainer, None)
    assert curve.history["train/loss_epoch"] == [(2, 2.0), (3, 3.0)]


def test_an_epoch_that_is_cut_in_two_has_the_same_mean(curve, trainer, tmp_path):
    train(curve, trainer, (1.0, 4))
    saved = curve.state_dict()
    train(curve, trainer, (9.0, 4))  # lost with the process that is killed here
    curve.load_state_dict(saved)
    train(curve, trainer, (4.0, 2))
    curve.on_train_epoch_end(trainer, None)
    assert [value for _, value in curve.history["train/loss_epoch"]] == [2.0]


def test_the_picture_has_a_panel_for_what_was_measured(curve, trainer, tmp_path):
    curve.draw()
    assert not (tmp_path / LOSS_PICTURE).exists()  # nothing to draw yet
    train(curve, trainer, (1.0, 2))
    curve.on_train_epoch_end(trainer, None)
    height = read_image(tmp_path / LOSS_PICTURE).shape[0]
    trainer.callback_metrics |= {"val/loss": torch.tensor(1.0), "val/hint_gap": torch.tensor(0.1)}
    train(curve, trainer, (1.0, 2))
    curve.on_validation_end(trainer, None)
    train(curve, trainer, (1.0, 2))  # validations do not stand at the ends of epochs alone
    curve.on_train_epoch_end(trainer, None)
    assert read_image(tmp_path / LOSS_PICTURE).shape[0] == 2 * height
    assert curve.history["val/hint_gap"] == [(2, pytest.approx(0.1))]


def test_one_process_draws_for_all(curve, trainer, tmp_path):
    trainer.is_global_zero = False
    train(curve, trainer, (1.0, 2))
    curve.on_train_epoch_end(trainer, None)
    assert not (tmp_path / LOSS_PICTURE).exists()
