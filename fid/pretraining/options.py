"""Options of both pre-trainings."""

from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import non_negative_int, option
from core.recording.run_files import LAST


@dataclass(frozen=True)
class PretrainingFileOptions:
    """Folders and files of a run, in place of the configuration's."""

    data_path: Path | None = option(
        None,
        Path,
        "DIR",
        "images, sub-folders included; the configuration's when not given",
    )
    model_dir: Path | None = option(
        None,
        Path,
        "DIR",
        "where checkpoints and losses go; the configuration's when not given",
    )
    resume: Path | None = option(
        None,
        Path,
        "FILE",
        f"{LAST} of a run to go on with: weights, optimizer, queue, epoch",
    )


@dataclass(frozen=True)
class PretrainingRunOptions:
    """Device, precision and seed of a run, and changes to its configuration."""

    changes: tuple[str, ...] = option(
        (), None, "KEY=VALUE", "values in place of the configuration's", nargs="+"
    )
    device: str = option(
        "auto",
        help="auto takes all GPUs, or the CPU where there is none",
        choices=("auto", "cpu", "gpu"),
    )
    precision: str | None = option(
        None,
        help="bf16 computes in mixed precision; 32, or on GPUs the recipe's, when not given",
        choices=("32", "bf16"),
    )
    seed: int = option(0, non_negative_int, "INT", "seed of weights, order and augmentation")
