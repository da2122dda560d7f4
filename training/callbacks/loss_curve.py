"""The loss curve of a training."""

from pathlib import Path

import numpy as np
from pytorch_lightning.callbacks import Callback

from core.files import whole_file

LOSS_PICTURE = "loss.png"
PANELS = (("train/loss_epoch", "val/loss"), ("val/hint_gap",))  # what is drawn on one axis
NAMES = tuple(name for panel in PANELS for name in panel)


class LossCurve(Callback):
    """Keep the losses of a run across resumptions, log each epoch's mean and draw `loss.png`.

    Attributes:
        history: name -> list of (step, value).
        epoch_loss, epoch_samples: sum of the losses of the epoch so far, and their number.
    """

    def __init__(self, run_dir: Path):
        self.path = run_dir / LOSS_PICTURE
        self.history = {name: [] for name in NAMES}
        self.epoch_loss, self.epoch_samples = 0.0, 0

    def state_dict(self):
        return {name: getattr(self, name) for name in ("history", "epoch_loss", "epoch_samples")}

    def load_state_dict(self, state_dict):
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Add the batch's loss to the sum of the epoch, weighted by its samples."""
        # The metric is the mean over processes already. The sum is float64, in the order of the
        # steps, so a resumed epoch ends with the same bits.
        loss = float(trainer.callback_metrics["train/loss_step"])
        self.epoch_loss += loss * batch.whole_batch
        self.epoch_samples += batch.whole_batch

    def on_train_epoch_end(self, trainer, pl_module):
        """Log the mean of the epoch's losses, and draw."""
        # Lightning's own mean would forget the part of the epoch before a resumption.
        mean = self.epoch_loss / self.epoch_samples
        self.log("train/loss_epoch", mean, prog_bar=True, sync_dist=True)
        self.epoch_loss, self.epoch_samples = 0.0, 0
        self._note(trainer, ["train/loss_epoch"])
        if trainer.is_global_zero:
            self.draw()

    def on_validation_end(self, trainer, pl_module):
        self._note(trainer, [name for name in NAMES if name.startswith("val/")])

    def _note(self, trainer, names):
        """Append the values that these metrics have now."""
        for name in names:
            if name in trainer.callback_metrics:
                value = float(trainer.callback_metrics[name])
                self.history[name].append((trainer.global_step, value))

    def draw(self) -> None:
        """Draw losses above, the hint gap below (where it was measured), over optimizer steps."""
        from matplotlib.figure import Figure  # here: it takes half a second to import

        shown = [panel for panel in PANELS if any(self.history[name] for name in panel)]
        if not shown:
            return
        figure = Figure(figsize=(7, 3 * len(shown)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
        for axis, panel in zip(axes, shown, strict=True):
            for name in panel:
                if self.history[name]:
                    axis.plot(*zip(*self.history[name], strict=True), marker=".", label=name)
            axis.legend()
            axis.grid(alpha=0.3)
        axes[-1].set_xlabel("optimizer step")
        with whole_file(self.path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")
