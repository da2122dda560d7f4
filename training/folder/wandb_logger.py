"""Weights & Biases as a logger that neither stores its key nor stops a training."""

import os
import sys
from pathlib import Path

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from core.notices import notify
from training.folder.output_options import KEY_VARIABLE, OutputOptions

PATIENCE = 5  # seconds for the first answer of a server; wandb adds about ten
OFFLINE_PATIENCE = 120  # seconds for wandb's own process, which a busy machine starts slowly


class SecretiveWandb(WandbLogger):
    """Weights & Biases without the key in its files; without a server, the training goes on.

    Args:
        project: name of the project there.
        run_dir: folder of the run, whose name identifies the run there too, so that a resumed one
            goes on in its curves.
        key: of the account, if the environment's WANDB_API_KEY does not hold it.
    """

    def __init__(self, project: str, run_dir: Path, key: str | None = None):
        # Neither git's state nor the code: a key that was written into a file would be uploaded.
        offline = os.environ.get("WANDB_MODE") == "offline"
        patience = OFFLINE_PATIENCE if offline else PATIENCE
        settings = wandb.Settings(init_timeout=patience, disable_git=True, save_code=False)
        name = run_dir.name
        super().__init__(
            project=project, name=name, id=name, save_dir=run_dir, resume="allow", settings=settings
        )
        if key:
            os.environ[KEY_VARIABLE] = key  # the one way that does not store it
            # The command line is stored, and uploaded even after an offline run.
            sys.argv[:] = [word.replace(key, "***") for word in sys.argv]

    @property
    @rank_zero_experiment
    def experiment(self):
        """The run there; one that ignores everything where none can be started."""
        if self._experiment is None:
            try:
                return super().experiment
            except (wandb.errors.Error, OSError, ValueError) as error:
                key = os.environ.get(KEY_VARIABLE)
                reason = " ".join(str(error).split()).replace(key or "***", "***")
                notify(
                    f"Weights & Biases does not take this run ({reason}). The training goes on "
                    "with the other loggers"
                )
                self._experiment = wandb.init(mode="disabled")
        return self._experiment


def wandb_logger(options: OutputOptions, run_dir: Path) -> SecretiveWandb:
    """A logger that sends everything to Weights & Biases."""
    return SecretiveWandb(options.wandb_project, run_dir, options.wandb_api_key)
