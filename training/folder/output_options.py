"""Options of a training's run folder, checkpoints and loggers, and the registry of loggers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.command_line.options import folder_name, option, positive_int
from core.deferred import Deferred
from core.recording.run_files import LAST
from training.names import BEST

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from pytorch_lightning.loggers import Logger

KEY_VARIABLE = "WANDB_API_KEY"


# Name of a logger -> function from the options and the run's folder to the logger
LOGGERS: dict[str, Callable[["OutputOptions", Path], "Logger"]] = {
    "csv": Deferred("training.folder.loggers:csv_logger"),
    "tensorboard": Deferred("training.folder.loggers:tensorboard_logger"),
    "wandb": Deferred("training.folder.wandb_logger:wandb_logger"),
}


@dataclass(frozen=True)
class OutputOptions:
    """Run folder, checkpoints and loggers."""

    output_root: Path = option(
        Path("./models"), Path, "DIR", "where the run's folder is made", free_on_resume=True
    )
    run_id: str | None = option(
        None,
        folder_name,
        "NAME",
        f"name of that folder; a run of this name that has a {LAST} is continued, "
        "so a requeued job goes on",
        free_on_resume=True,
    )
    save_every: int = option(
        500,
        positive_int,
        "STEPS",
        f"optimizer steps between two writings of {LAST}",
        free_on_resume=True,
    )
    save_control_only: bool = option(
        False,
        bool,
        help=f"keep the best control branch alone, as {BEST}.safetensors, a quarter of the size",
    )
    licence: str | None = option(
        None,
        None,
        "NAME",
        "licence of the weights as the Hugging Face hub names it, for their card",
        free_on_resume=True,
    )
    logger: tuple[str, ...] = option(
        ("csv", "tensorboard"),
        help="where losses and pictures go",
        choices=tuple(LOGGERS),
        nargs="+",
        free_on_resume=True,
    )
    logger_freq: int = option(
        300, positive_int, "BATCHES", "batches between image logs", free_on_resume=True
    )
    logger_epoch_starts: bool = option(
        False,
        bool,
        help="log images of the first batch of each epoch too, as the published code",
        free_on_resume=True,
    )
    log_every: int = option(
        10, positive_int, "STEPS", "steps between logged losses", free_on_resume=True
    )
    wandb_project: str = option("EM-ControlNet", None, "NAME", "project in Weights & Biases")
    wandb_api_key: str | None = option(
        None,
        None,
        "KEY",
        "key of Weights & Biases; turns that logger on, is never stored. Better set the "
        f"environment's {KEY_VARIABLE}: all users of a machine can see command lines",
        secret=True,
        free_on_resume=True,
    )

    @property
    def logger_names(self) -> list[str]:
        """The loggers asked for; a key for Weights & Biases asks for that one."""
        # As published: whoever has set a key wants this logger.
        key = self.wandb_api_key or os.environ.get(KEY_VARIABLE)
        wanted = key or os.environ.get("WANDB_MODE") == "offline"
        return [*dict.fromkeys([*self.logger, *(["wandb"] if wanted else [])])]


def build_loggers(options: OutputOptions, run_dir: Path) -> list["Logger"]:
    """The loggers asked for, which write below the run's folder."""
    return [LOGGERS[name](options, run_dir) for name in options.logger_names]
