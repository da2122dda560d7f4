"""The plan of a training, as text for people."""

from pathlib import Path

from core.cards import CARD
from core.recording.records import RECORD
from core.recording.run_files import LAST, PROGRESS
from training.callbacks.loss_curve import LOSS_PICTURE
from training.data.datasets import DataSets
from training.names import BEST
from training.processes import Processes
from training.run_options import TrainingOptions


def plan_text(
    options: TrainingOptions, datasets: DataSets, processes: Processes, run_dir: Path
) -> str:
    """Data, steps and files of a run, a line each."""
    train, validation = datasets
    steps, output = options.optimization, options.output
    per_epoch = steps.batches_per_epoch(len(train), processes)
    every = steps.validate_every
    best = f"{BEST}.safetensors" if output.save_control_only else f"{BEST}.ckpt"
    pairs = f"{len(train)} training and {len(validation) if validation else 0} validation pairs"
    return "\n".join(
        [
            f"{pairs}, {train.image_size} x {train.image_size} pixels, "
            f"pixel size {train.pixel_size or 'unknown'}",
            steps.describe(len(train), processes),
            f"{per_epoch} batches per epoch, "
            f"{steps.total_steps(len(train), processes)} optimizer steps in all"
            + (f", validation every {every} steps" if every else ""),
            f"run folder: {run_dir}",
            f"files: {RECORD}, {LAST} every {output.save_every} steps, {best}, {CARD}, "
            f"{LOSS_PICTURE}, {PROGRESS}, image_log/train/ every {output.logger_freq} batches, "
            f"loggers: {', '.join(output.logger_names)}",
        ]
    )
