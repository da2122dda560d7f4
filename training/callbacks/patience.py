"""The early end of a training that no longer gets better."""

import math

from pytorch_lightning.callbacks import Callback

from core.notices import report


class Patience(Callback):
    """End a training after a number of validations without a lower `val/loss`.

    Args:
        validations: that number.

    Attributes:
        best: lowest loss so far.
        since: validations after it.
    """

    def __init__(self, validations: int):
        self.validations = validations
        self.best, self.since = math.inf, 0

    def on_train_start(self, trainer, pl_module):
        """End at once where the run had ended so before, unless the patience has grown."""
        self._end_if_due(trainer)

    def on_validation_end(self, trainer, pl_module):
        """Note whether the loss has fallen."""
        loss = float(trainer.callback_metrics["val/loss"])  # the same in all processes
        self.best, self.since = (loss, 0) if loss < self.best else (self.best, self.since + 1)
        self._end_if_due(trainer)

    def _end_if_due(self, trainer):
        if self.since >= self.validations:
            trainer.should_stop = True
            report(
                f"step {trainer.global_step}: val/loss has not fallen below {self.best:.4f} in "
                f"{self.since} validations (--patience {self.validations}); the training ends"
            )

    def state_dict(self):
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state_dict):
        self.best, self.since = state_dict["best"], state_dict["since"]
