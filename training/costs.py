"""Seconds that a training step costs, measured on this machine."""

import statistics
import time

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from core.devices import wait_for
from core.lightning import PRECISIONS
from core.prompts import PROMPTS


class StepClock(pl.Callback):
    """Notes the seconds of each training step: with the optimizer, without reading images."""

    def __init__(self):
        self.seconds = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        wait_for(pl_module.device)
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        wait_for(pl_module.device)
        self.seconds.append(time.perf_counter() - self.start)


def measure_step(
    model,
    image_size: int,
    batch_size: int,
    device: torch.device,
    precision: str = "32",
    repeats: int = 3,
) -> float:
    """Seconds of a training step: the median of `repeats`, after one that warms up.

    Args:
        model: a `ControlLDM`; its weights change.
        image_size: height and width in pixels.
        precision: a key of `PRECISIONS`.
    """
    sample = {
        "jpg": torch.rand(image_size, image_size, 3) * 2 - 1,
        "hint": torch.rand(image_size, image_size, model.control_model.hint_channels),
        "txt": PROMPTS[0],
        "seed": 0,
    }
    clock = StepClock()
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=PRECISIONS[precision],
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[clock, TQDMProgressBar(leave=False)],
    )
    model.train()
    model.first_stage_model.eval()  # frozen, as in every training
    trainer.fit(model, DataLoader([sample] * (batch_size * (repeats + 1)), batch_size))
    model.eval()
    return statistics.median(clock.seconds[1:])
