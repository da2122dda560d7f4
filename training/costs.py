"""Seconds that a training step takes, measured on this machine."""

import statistics
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from cldm.speed import speed_up_training
from core.hardware.devices import float32_products, wait_for
from core.lightning import lightning_precision
from core.notices import report
from core.prompts import PROMPTS
from core.samples import Sample, SampleKey, collate
from training.step.frozen import FrozenEncoders
from training.step.gradient_checkpointing import (
    StepSize,
    choose_checkpointing,
    memory_per_process,
    uses_checkpointing,
)
from training.step.latents import LatentCache
from training.step.module import ControlTraining


class StepClock(pl.Callback):
    """Record seconds per step, optimizer included, data loading excluded."""

    def __init__(self):
        self.seconds, self.start = [], 0.0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        wait_for(pl_module.device)  # a GPU may still work on the step before
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
    gradient_checkpointing: str = "auto",
) -> float:
    """Seconds of a training step on new images: the median of `repeats` after one that warms up.

    Args:
        model: a `ControlledDiffusionModel`. It is sped up as in `train.py` and trained, so that it
            serves for nothing else afterwards.
        image_size: height and width in pixels.
        gradient_checkpointing: `auto`, `on` or `off`, as `choose_checkpointing`.
    """
    size = StepSize(batch_size, image_size, precision)
    free = memory_per_process(device, 1)
    if decided := choose_checkpointing(gradient_checkpointing, model, size, device, free):
        report(decided)
    graphs = not uses_checkpointing(model)
    speed_up_training(model, device.type == "cuda", precision, compiled=False, graphs=graphs)
    sides = (image_size, image_size)
    image = torch.rand(*sides, 3) * 2 - 1
    hint = torch.rand(*sides, model.control_model.hint_channels)
    # Any values take as long. `view` is None in the key, so each image is encoded as a new one.
    sample = Sample(
        SampleKey(0, 0), image, PROMPTS[0], hint, weight=1 / batch_size, whole_batch=batch_size
    )
    samples = [sample] * (batch_size * (repeats + 1))
    clock = StepClock()
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision=lightning_precision(precision),
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[clock, TQDMProgressBar(leave=False)],
    )
    encoders = FrozenEncoders(model, LatentCache(0, Path()))  # nothing is seen twice
    module = ControlTraining(model, encoders, learning_rate=1e-5)
    with float32_products(precision):
        trainer.fit(module, DataLoader(samples, batch_size, collate_fn=collate))
    model.eval()
    # The first step allocates memory and chooses kernels. The median ignores a disturbed step.
    return statistics.median(clock.seconds[1:])
