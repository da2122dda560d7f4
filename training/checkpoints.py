"""Checkpoints of a training run: written whole, saved every N steps, and enough to go on exactly where a run was cut off."""

import signal
import threading
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from core.lightning import LAST

BEST = "EM_best_results"

ALIGNMENT = 64  # bytes, of torch's own memory on the CPU


class ControlOnlyCheckpoint(ModelCheckpoint):
    """The best control branch, without the model it steers."""

    FILE_EXTENSION = ".safetensors"


class SaveLast(Checkpoint):
    """Keep `last.ckpt` (weights, optimizer, position) up to date, and end a run cleanly on Ctrl-C, SIGTERM or SIGUSR1.

    It is written every `every_n_steps` optimizer steps and at the end. On a signal the step at hand is finished and saved
    first; a second signal ends the process at once. A signal to one of several processes stops all at the same step.

    Attributes:
        signal_received: number of the signal that asked for the end, 0 for none.
        whole_batch: images per batch in all processes together, by which the position in an epoch is counted.
    """

    def __init__(self, run_dir: Path, every_n_steps: int, whole_batch: int):
        self.path = run_dir / LAST
        self.every_n_steps = every_n_steps
        self.whole_batch = whole_batch
        self.signal_received = 0
        self.saved_step = 0

    def on_train_start(self, trainer, pl_module):
        epochs = trainer.fit_loop.epoch_progress.current
        if (
            epochs.ready == epochs.processed
        ):  # between two epochs; with `max_steps` Lightning would end one of no batches first
            trainer.fit_loop.epoch_loop.restarting = False
        # Not earlier: Lightning's own handlers, which would save in the middle of a step, are replaced.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, self._note_signal)

    def _note_signal(self, number, frame):
        print(
            f"\n{signal.Signals(number).name}: finishing this step, then saving; once more ends at once",
            flush=True,
        )
        self.signal_received = number
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )

    def on_before_backward(self, trainer, pl_module, loss):
        loss = over_processes(
            trainer, loss.detach(), "mean"
        )  # so that all stop when one of them goes astray
        if not loss.isfinite():
            raise ValueError(
                f"step {trainer.global_step}: the loss is {loss.item()}. {self.remedy()}"
            )

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.signal_received = int(
            over_processes(
                trainer, torch.tensor(self.signal_received, device=pl_module.device), "max"
            )
        )
        if (
            batch_idx + 1
        ) % trainer.accumulate_grad_batches and batch_idx + 1 < trainer.num_training_batches:
            return  # between two optimizer steps there is no state to return to
        if batch_idx + 1 == trainer.num_training_batches > 1:
            return  # Lightning cannot return to the end of an epoch without losing its validation; one step later it can
        if (
            self.signal_received
            or trainer.global_step - self.saved_step >= self.every_n_steps
            or trainer.global_step == trainer.max_steps
        ):
            self._save(trainer, pl_module)
        if self.signal_received:
            raise KeyboardInterrupt

    def on_train_end(self, trainer, pl_module):
        self._save(trainer, pl_module)

    def _save(self, trainer, pl_module):
        if trainer.global_step == self.saved_step:
            return
        if not all(
            bool(parameter.isfinite().all())
            for parameter in pl_module.parameters()
            if parameter.requires_grad
        ):
            raise ValueError(
                f"step {trainer.global_step}: the weights are no longer finite. {self.remedy()}"
            )
        self.saved_step = trainer.global_step
        trainer.save_checkpoint(self.path)

    def remedy(self):
        """What to do after a run went astray."""
        kept = (
            f"{self.path} is of step {self.saved_step}"
            if self.path.exists()
            else "nothing was saved yet"
        )
        return f"{kept}. Start again with a lower --learning_rate."

    def state_dict(self):
        return {"saved_step": self.saved_step, "whole_batch": self.whole_batch}

    def load_state_dict(self, state_dict):
        if (
            state_dict.get("whole_batch", self.whole_batch) != self.whole_batch
        ):  # older files do not say
            raise ValueError(
                f"{self.path}: was trained with {state_dict['whole_batch']} images per batch in all processes together, now {self.whole_batch}. "
                "Go on with as many processes as before."
            )
        self.saved_step = state_dict["saved_step"]


def align_weights(model: torch.nn.Module) -> None:
    """Move weights from where they happen to lie in a mapped file to where torch puts new ones.

    Matrix products on the CPU round by the place of their operands in memory, and a checkpoint has another layout than the file
    that a run began with: a resumed run would differ in the last bit.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def over_processes(trainer: Trainer, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
    """`mean` or `max` of a scalar over all processes; `value` itself where there is one."""
    return (
        trainer.strategy.reduce(value.clone(), reduce_op=reduce_op)
        if trainer.world_size > 1
        else value
    )
