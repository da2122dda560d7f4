"""The loss curve of a training."""

from pathlib import Path

import numpy as np
from pytorch_lightning.callbacks import Callback

from core.files import whole_file


class LossCurve(Callback):
    """Keeps the losses of a run across resumptions, logs the mean of each epoch and draws `loss.png`.

    Attributes:
        history: name -> list of (step, value).
    """

    NAMES = ("train/loss_epoch", "val/loss", "val/hint_gap")

    def __init__(self, run_dir: Path):
        self.path = run_dir / "loss.png"
        self.history = {name: [] for name in self.NAMES}
        self.epoch_loss, self.epoch_samples = 0.0, 0  # sum over the epoch so far

    def state_dict(self):
        return {name: getattr(self, name) for name in ("history", "epoch_loss", "epoch_samples")}

    def load_state_dict(self, state_dict):
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        samples = int(batch["whole_batch"][0])
        self.epoch_loss += float(trainer.callback_metrics["train/loss_step"]) * samples
        self.epoch_samples += samples

    def on_train_epoch_end(self, trainer, pl_module):
        # Lightning's own mean would forget the part of the epoch before a resumption
        self.log(
            "train/loss_epoch", self.epoch_loss / self.epoch_samples, prog_bar=True, sync_dist=True
        )
        self.epoch_loss, self.epoch_samples = 0.0, 0
        for name in self.NAMES:
            if name in trainer.callback_metrics:
                self.history[name].append(
                    (trainer.global_step, float(trainer.callback_metrics[name]))
                )
        if trainer.is_global_zero:
            self.draw()

    def draw(self):
        """Losses above, the hint gap below (where it was measured), over optimizer steps."""
        from matplotlib.figure import (
            Figure,  # here: half a second that a start without a plot need not pay
        )

        shown = [
            names
            for names in (self.NAMES[:2], self.NAMES[2:])
            if any(self.history[name] for name in names)
        ]
        if not shown:
            return
        figure = Figure(figsize=(7, 3 * len(shown)), layout="constrained")
        for axis, names in zip(
            np.atleast_1d(figure.subplots(len(shown), 1, sharex=True)), shown, strict=True
        ):
            for name in names:
                if self.history[name]:
                    axis.plot(*zip(*self.history[name], strict=True), marker=".", label=name)
            axis.legend()
            axis.grid(alpha=0.3)
        axis.set_xlabel("optimizer step")
        with whole_file(self.path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")
