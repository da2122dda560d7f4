"""The loop of both stages: a number of steps, with a learning rate that rises and falls."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from torch.utils.data import DataLoader

from core.hardware.bf16 import notify_of_slow_bf16
from core.hardware.device_options import pick_device
from core.hardware.devices import float32_products
from core.lightning import WholeFileIO, lightning_precision, restore_last
from core.notices import notify, report
from core.recording.progress import Progress
from core.recording.run_files import LAST, can_restore
from core.weights.torch_files import load_pickle
from training.callbacks.checkpoints import SaveLast


@dataclass(frozen=True)
class StageRun:
    """Circumstances of a stage.

    Attributes:
        seed: of all that is drawn.
        precision: one of `core.hardware.devices.PRECISIONS`.
        folder: where the stage is saved, so that it can go on.
        save_every: steps between two saves.
    """

    seed: int
    precision: str
    folder: Path
    save_every: int


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


def fit(
    module: pl.LightningModule,
    batches: Callable[[int], DataLoader],
    steps: int,
    run: StageRun,
    callbacks: list[Callback] | None = None,
) -> None:
    """Train for `steps` optimizer steps with Lightning, from where the stage was saved last.

    Args:
        batches: function from the number of steps that are done to a loader of `steps` batches,
            which begins after those.
    Raises:
        KeyboardInterrupt, StoppedForRequeue: the run was asked to stop. All is saved, unless it
            was asked twice.
        ValueError: loss or weights are no longer finite, or both checkpoints are damaged.
    """
    run.folder.mkdir(exist_ok=True)
    notify_of_slow_bf16(pick_device("auto").type, run.precision)
    save_last = SaveLast(run.folder, run.save_every, whole_batch=1)
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,  # no limit: only the steps count
        accelerator="auto",
        devices=1,
        precision=lightning_precision(run.precision),
        gradient_clip_val=1.0,  # of the norm: a rare steep batch does not throw the weights off
        logger=False,
        enable_model_summary=False,
        callbacks=[
            TQDMProgressBar(refresh_rate=10),
            *(callbacks or []),
            Progress(run.folder),
            save_last,
        ],
        plugins=[WholeFileIO()],
    )
    last, done = _last_save(run.folder)
    if last:
        report(f"going on after step {done:,} of {steps:,}, from {last}")
    both_cases = "the same command goes on"  # with what is saved, of an earlier stage perhaps
    with save_last.telling_stop(both_cases, both_cases):
        with float32_products(run.precision):
            trainer.fit(module, batches(done), ckpt_path=last, weights_only=True)
        if save_last.signal_received:  # during the last step, which ends the stage, not the work
            raise KeyboardInterrupt


def _last_save(folder: Path) -> tuple[Path | None, int]:
    """The checkpoint to go on from, None where there is none, and its step."""
    if not can_restore(folder):
        return None, 0
    if restored := restore_last(folder):
        notify(restored)
    return folder / LAST, load_pickle(folder / LAST, "cpu")["global_step"]
