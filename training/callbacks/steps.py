"""Ends of optimizer steps, and validations that are counted by them."""

import sys

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

NEVER = sys.maxsize  # batches: more than any training has


def ends_step(trainer: Trainer, batch_idx: int) -> bool:
    """Tell whether the optimizer steps after this batch of an epoch."""
    done, total = batch_idx + 1, trainer.num_training_batches
    return done % trainer.accumulate_grad_batches == 0 or done == total


def validation_follows(trainer: Trainer) -> bool:
    """Tell whether `ValidationBySteps` has called for a validation after the batch at hand."""
    return trainer.check_val_every_n_epoch is None and trainer.val_check_batch == 1


class ValidationBySteps(Callback):
    """Call for a validation after every so many optimizer steps, across the ends of epochs.

    Lightning itself can only count batches, and the last step of an epoch may have fewer of them.

    Args:
        every: optimizer steps between validations.

    Attributes:
        validated: step of the last validation.
    """

    def __init__(self, every: int):
        self.every, self.validated = every, 0

    def on_train_start(self, trainer, pl_module):
        # Lightning asks again before the first batch of a run that was saved after a validation. It
        # leaves out a validation that it has done.
        self._call(trainer, trainer.global_step == self.validated > 0)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        due = trainer.global_step % self.every == 0
        self._call(trainer, due and ends_step(trainer, batch_idx))

    def on_validation_end(self, trainer, pl_module):
        self.validated = trainer.global_step

    @staticmethod
    def _call(trainer, due):
        trainer.val_check_batch = 1 if due else NEVER  # a divisor of the number of batches

    def state_dict(self):
        return {"validated": self.validated}

    def load_state_dict(self, state_dict):
        self.validated = state_dict["validated"]
