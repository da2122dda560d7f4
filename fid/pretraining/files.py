"""Files of a pre-training: those that it begins with, and those that it writes after each epoch."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pytorch_lightning.callbacks import Callback

from core.command_line.options import OptionError
from core.lightning import restore_last
from core.notices import notify, report
from core.recording.run_files import LAST
from core.weights.checkpoints import save_torch
from core.weights.torch_files import load_pickle
from fid.pretraining.options import PretrainingFileOptions
from fid.pretraining.settings import AnySettings


def with_files(settings: AnySettings, files: PretrainingFileOptions, restore: bool) -> AnySettings:
    """`settings` with the paths that `files` names.

    Args:
        restore: put the checkpoint before the last in the place of a damaged one.
    Raises:
        OptionError: there is no such checkpoint to resume, or it holds weights alone; or another
            run's checkpoints would be overwritten.
    """
    # The command line wins over the configuration.
    given = {name: path for name, path in vars(files).items() if path is not None}
    settings = dataclasses.replace(settings, **given)
    last = settings.model_dir / LAST
    if settings.resume:
        if not settings.resume.is_file():
            raise OptionError("resume", f"{settings.resume}: no such file")
        if restore and settings.resume.name == LAST:
            if done := restore_last(settings.resume.parent):
                notify(done)
        if "loops" not in load_pickle(settings.resume, "cpu"):  # Lightning's position in the run
            raise OptionError(
                "resume",
                f"{settings.resume}: holds weights alone, expected the {LAST} of a run",
            )
    elif last.exists():
        raise OptionError(
            "model_dir",
            f"{last} exists already. Name another folder, or go on with `resume` {last}.",
        )
    return settings


class EpochFiles(Callback):
    """After every epoch the checkpoint in the published layout, and now and then a copy to keep.

    Args:
        folder: of the run.
        name: of the file that is always the newest.
        copy_name: function from the epoch, from 0, to the name of a copy to keep, or None.
    """

    def __init__(self, folder: Path, name: str, copy_name: Callable[[int], str | None]):
        self.folder, self.name, self.copy_name = folder, name, copy_name

    def on_train_epoch_end(self, trainer, pl_module):
        """Write the files; `pl_module.published()` gives tensors under the published names."""
        if not trainer.is_global_zero:
            return
        content = pl_module.published() | {
            "epoch": trainer.current_epoch + 1,  # finished ones, as published
            "optimizer": trainer.optimizers[0].state_dict(),
            # The scores normalise images as the training did.
            "norms": list(pl_module.settings.norms),
        }
        for name in filter(None, (self.name, self.copy_name(trainer.current_epoch))):
            save_torch(content, self.folder / name)

    def on_train_end(self, trainer, pl_module):
        """Say what the files are for."""
        if trainer.is_global_zero:
            report(
                f"weights for a CEM-FID: {self.folder / self.name}\n"
                f"to go on: --resume {self.folder / LAST}"
            )
