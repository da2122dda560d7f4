"""The loop of both stages: a number of steps, with a learning rate that rises and falls."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from core.hardware.devices import float32_products
from core.lightning import lightning_precision, stop_as_interrupt


def warm_then_decay(optimizer: torch.optim.Optimizer, total_steps: int) -> dict:
    """Optimizer and schedule for Lightning: a linear warm-up, then half a cosine to zero.

    Args:
        total_steps: optimizer steps of the whole training, warm-up included.
    """
    warm = max(1, total_steps // 50)  # 2 % of the steps
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total_steps - warm)),
        ],
        [warm],
    )
    # Lightning would count epochs if it were not told otherwise.
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(module: pl.LightningModule, loader: DataLoader, steps: int, precision: str, callbacks=()):
    """Train for `steps` optimizer steps with Lightning, which writes nothing but a progress bar.

    Args:
        precision: one of `core.hardware.devices.PRECISIONS`.
    Raises:
        KeyboardInterrupt: after Ctrl-C.
    """
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,  # no limit: only the steps count
        accelerator="auto",
        devices=1,
        precision=lightning_precision(precision),
        gradient_clip_val=1.0,  # of the norm: a rare steep batch does not throw the weights off
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=10), *callbacks],
    )
    with stop_as_interrupt(), float32_products(precision):
        trainer.fit(module, loader)
