"""The optimization of a training, and the Lightning trainer that runs it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from cldm.names import CONTROL
from core.lightning import WholeFileIO, lightning_precision
from core.options import fraction, non_negative_int, option, positive_float, positive_int
from training.processes import Processes
from training.steps import NEVER, ValidationBySteps


@dataclass(frozen=True)
class OptimizationOptions:
    """Batches, steps and learning rate."""

    batch_size: int = option(
        2, positive_int, "INT", "images per step and process, that is, per GPU"
    )
    accumulate_grad_batches: int = option(1, positive_int, "INT", "batches per optimizer step")
    learning_rate: float = option(1e-5, positive_float, "FLOAT", "learning rate of AdamW")
    max_epochs: int = option(600, positive_int, "INT", "passes over the images")
    max_steps: int | None = option(
        None,
        positive_int,
        "INT",
        "optimizer steps; ends the run if reached before --max_epochs",
    )
    ema_decay: float | None = option(
        None,
        fraction,
        "P",
        "decay of averaged weights, such as 0.999, which are validated and kept as the best; none "
        "when not given",
    )
    validate_every: int | None = option(
        None, positive_int, "STEPS", "optimizer steps between validations, instead of an epoch"
    )
    patience: int | None = option(
        None, positive_int, "INT", "end after so many validations without a lower val/loss"
    )
    seed: int = option(0, non_negative_int, "INT", "seed of data order, crops, prompts and noise")

    def whole_batch(self, processes: Processes) -> int:
        """Images in the batches of all processes together."""
        return self.batch_size * processes.total

    def total_steps(self, images: int, processes: Processes) -> int:
        """Optimizer steps of a training for `images` training images."""
        # The last optimizer step of an epoch may have fewer batches.
        batches = self.batches_per_epoch(images, processes)
        steps = math.ceil(batches / self.accumulate_grad_batches) * self.max_epochs
        return min(steps, self.max_steps or steps)

    def batches_per_epoch(self, images: int, processes: Processes) -> int:
        """Batches of all processes together that `images` images make; the last may be smaller."""
        return math.ceil(images / self.whole_batch(processes))

    def describe(self, images: int, processes: Processes) -> str:
        """One line about the size of an optimizer step on `images` training images."""
        accumulated = self.accumulate_grad_batches
        batches = f" x {accumulated} batches" if accumulated > 1 else ""
        wanted = self.whole_batch(processes) * accumulated
        # Gradients add up within an epoch: its end ends the step.
        limit = ", as many as an epoch has" if wanted > images else ""
        return (
            f"{min(wanted, images)} images per optimizer step "
            f"({self.batch_size} x {processes.total} process(es){batches}{limit}), "
            f"learning rate {self.learning_rate:g}"
        )


def build_trainer(
    options: OptimizationOptions,
    processes: Processes,
    precision: str,
    run_dir: Path,
    loggers: list[Logger],
    log_every: int,
    callbacks: list[Callback],
    notes: Callable[[], dict[str, str]] = dict,
) -> pl.Trainer:
    """A trainer whose checkpoints are whole files and whose data need no sampler of Lightning's.

    Args:
        precision: one of `core.devices.PRECISIONS`.
        log_every: steps between logged losses.
        notes: as in `WholeFileIO`.
    """
    # All that is trained gets a gradient in every step. Where gradients add up over batches, the
    # first of them are not exchanged, which a static graph does not allow.
    ddp = DDPStrategy(
        static_graph=options.accumulate_grad_batches == 1,
        find_unused_parameters=False,
        gradient_as_bucket_view=True,
    )
    validation = {}
    if options.validate_every:  # the callback sets the interval; None: batches of all epochs count
        validation = {"val_check_interval": NEVER, "check_val_every_n_epoch": None}
        callbacks = [*callbacks, ValidationBySteps(options.validate_every)]
    return pl.Trainer(
        default_root_dir=run_dir,
        accelerator="gpu" if processes.on_gpu else "cpu",
        devices=processes.per_node,
        num_nodes=processes.nodes,
        strategy=ddp if processes.total > 1 else "auto",
        use_distributed_sampler=False,  # it would repeat samples; `BatchesOfProcess` does not
        precision=lightning_precision(precision),
        max_epochs=options.max_epochs,
        max_steps=options.max_steps or -1,  # -1: no limit
        accumulate_grad_batches=options.accumulate_grad_batches,
        log_every_n_steps=log_every,
        num_sanity_val_steps=0,  # files are checked before; a resumed run would log a loss twice
        enable_model_summary=False,
        logger=loggers,
        callbacks=callbacks,
        plugins=[WholeFileIO(kept=(CONTROL,), notes=notes)],
        **validation,
    )
