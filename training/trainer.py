"""The optimization of a training, and the Lightning trainer that runs it."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from cldm.names import CONTROL
from core.lightning import Notes, WholeFileIO, lightning_precision, no_notes
from training.callbacks.steps import NEVER, ValidationBySteps
from training.options import OptimizationOptions
from training.processes import Processes


def build_trainer(
    options: OptimizationOptions,
    processes: Processes,
    precision: str,
    run_dir: Path,
    loggers: list[Logger],
    log_every: int,
    callbacks: list[Callback],
    notes: Notes = no_notes,
) -> pl.Trainer:
    """A trainer whose checkpoints are whole files and whose data need no sampler of Lightning's.

    Args:
        precision: one of `core.hardware.devices.PRECISIONS`.
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
