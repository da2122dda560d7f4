"""Checkpoints of a training, from which it goes on exactly where it was cut off."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from core.lightning import stop_as_interrupt
from core.notices import notify, report
from core.recording.run_files import LAST
from core.signals import STOPS, StoppedForRequeue, kept_handlers, set_handlers
from ldm.modules.locked_layers import Locked
from training.callbacks.steps import ends_step, validation_follows
from training.folder.start_record import START, read_identity
from training.names import BEST, BEST_AGREEMENT, BEST_FID

ALIGNMENT = 64  # bytes: torch's own memory on the CPU begins at multiples of it
SIGNALS = (signal.SIGINT, *STOPS)


class BestCheckpoint(ModelCheckpoint):
    """The best weights, in the folder of the run, wherever that has moved to.

    Lightning forgets the best score of a folder that was moved or copied: the first validation
    would replace the best weights by worse ones.
    """

    @property
    def state_key(self) -> str:
        """The key under which older versions, which used Lightning's class, kept the state."""
        return super().state_key.replace("BestCheckpoint", ModelCheckpoint.__name__, 1)

    def load_state_dict(self, state_dict):
        """Go on from the best score so far; begin anew, and warn, where its weights are gone."""
        if not state_dict["best_model_path"]:
            return
        best = Path(self.dirpath, Path(state_dict["best_model_path"]).name)
        if not best.is_file():
            notify(f"{best}: not there, so the best weights are those of a validation from now on")
            return
        score = state_dict["best_model_score"]
        moved = {"dirpath": self.dirpath, "best_model_path": str(best), "last_model_path": ""}
        if score is not None:  # else nothing was compared
            moved |= {"kth_best_model_path": str(best), "best_k_models": {str(best): score}}
        super().load_state_dict({**state_dict, **moved})


class ControlOnlyCheckpoint(BestCheckpoint):
    """The best control branch, without the model it steers."""

    FILE_EXTENSION = ".safetensors"


def best_checkpoints(
    run_dir: Path,
    has_validation: bool,
    monitor_fid: bool,
    monitor_agreement: bool,
    control_only: bool,
) -> list[ModelCheckpoint]:
    """Callbacks that keep the weights of the best epoch by loss and, if wanted, by other scores."""
    monitored = {BEST: ("val/loss" if has_validation else "train/loss_epoch", "min")}
    if monitor_fid:
        monitored[BEST_FID] = "val/cem_fid", "min"
    if monitor_agreement:
        monitored[BEST_AGREEMENT] = "val/agreement", "max"
    kind = ControlOnlyCheckpoint if control_only else BestCheckpoint
    return [
        kind(
            dirpath=run_dir,
            filename=name,
            monitor=metric,
            mode=mode,
            save_weights_only=True,
            enable_version_counter=False,  # the published name, also in a run that goes on
        )
        for name, (metric, mode) in monitored.items()
    ]


class SaveLast(Checkpoint):
    """Keep `last.ckpt` up to date, and end a run cleanly on Ctrl-C, SIGTERM or SIGUSR1.

    The file holds weights, optimizer and position. It is written every `every_n_steps` optimizer
    steps and at the end. On a signal the step at hand is finished and saved first; a second signal
    ends the process at once. A signal to one of several processes stops all at the same step. One
    that arrives in the last step or later stops nothing: the training is over.

    Attributes:
        signal_received: number of the signal that asked for the end, 0 for none.
        saved_step: optimizer step of the newest save, which may still be under way.
        kept_step: that of the checkpoint on the disk, as far as this process knows it.
        whole_batch: images per batch in all processes together, by which the position in an epoch
            is counted.
    """

    def __init__(self, run_dir: Path, every_n_steps: int, whole_batch: int):
        self.path = run_dir / LAST
        self.every_n_steps = every_n_steps
        self.whole_batch = whole_batch
        self.signal_received = 0
        self.saved_step = self.kept_step = 0
        self.identity = None  # of the run; read once, so that saving needs no other file

    def on_train_start(self, trainer, pl_module):
        """Put Lightning's loop where the checkpoint was written, and take over the signals."""
        self.identity = read_identity(self.path.parent)
        loop = trainer.fit_loop
        epochs = loop.epoch_progress.current
        if epochs.ready == epochs.processed:
            # Between two epochs: Lightning would otherwise run an empty epoch first.
            loop.epoch_loop.restarting = False
        if loop.restarted_on_epoch_start:
            epochs.ready += 1  # Lightning has set it back, and does not count it again
        # Not earlier: Lightning's own handlers, which would save in mid-step, are replaced.
        set_handlers(dict.fromkeys(SIGNALS, self._note_signal))

    def _note_signal(self, number, frame):
        name = signal.Signals(number).name
        report(f"\n{name}: ending once this step is saved; once more ends at once")
        self.signal_received = number
        at_once = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, at_once)

    def on_before_backward(self, trainer, pl_module, loss):
        """Raise ValueError for a loss that is not finite, in all processes."""
        # Before the gradients: one step with such a loss would spoil weights and optimizer. Reading
        # the loss waits for the GPU, a small part of a step; the progress bar waits for it too.
        # Over processes, so that all stop when one of them goes astray.
        loss = over_processes(trainer, loss.detach(), "mean")
        if not loss.isfinite():
            raise ValueError(
                f"step {trainer.global_step}: the loss is {loss.item()}. {self.remedy()}"
            )

    # Saved is what follows a step, too: its validation and the end of its epoch. A run that goes on
    # would not make up for them.

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Save after an optimizer step, unless a later hook does: of validation or epoch's end."""
        # Between two optimizer steps there is no state to return to.
        is_last = batch_idx + 1 == trainer.num_training_batches
        if ends_step(trainer, batch_idx) and not is_last and not validation_follows(trainer):
            self._save_if_due(trainer, pl_module)

    def on_validation_end(self, trainer, pl_module):
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_if_due(trainer, pl_module)

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.global_step:  # before the first step there is nothing to save
            self._save_if_due(trainer, pl_module)

    def on_train_end(self, trainer, pl_module):
        self._save(trainer, pl_module)

    def _save_if_due(self, trainer, pl_module):
        """Save where it is time to, and end the run where a signal asks for it."""
        # Slurm may signal one process only, yet all must save the same step. A signal that arrives
        # while the others (or a GPU) are waited for is kept for the next time.
        own = torch.tensor(self.signal_received, device=pl_module.device)
        agreed = int(over_processes(trainer, own, "max"))
        if agreed:
            self.signal_received = agreed
        due = trainer.global_step - self.saved_step >= self.every_n_steps
        # Not left to `on_train_end`, where Lightning counts an epoch that is cut short as done.
        at_end = trainer.global_step == trainer.max_steps or trainer.should_stop
        if agreed or due or at_end:
            self._save(trainer, pl_module)
        if agreed and not at_end:
            raise KeyboardInterrupt  # from which Lightning closes loggers and workers

    def _save(self, trainer, pl_module):
        if trainer.global_step == self.saved_step:
            return
        # The loss was finite before the last step, whose update may still have overflowed. The file
        # must never replace a good one with such weights.
        trained = (value for value in pl_module.parameters() if value.requires_grad)
        if not all(bool(value.isfinite().all()) for value in trained):
            raise ValueError(
                f"step {trainer.global_step}: the weights are no longer finite. {self.remedy()}"
            )
        self.saved_step = trainer.global_step
        trainer.save_checkpoint(self.path, weights_only=False)  # with optimizer and position
        self.kept_step = self.saved_step

    @contextmanager
    def telling_stop(
        self, how_to_go_on: str, how_to_begin: str = "start it again"
    ) -> Iterator[None]:
        """Say what is kept where the training in the block is stopped.

        At its end signals do again what they did before.

        Args:
            how_to_go_on, how_to_begin: what to do where something is saved, and where nothing is.
        Raises:
            KeyboardInterrupt, StoppedForRequeue: the training was stopped. All is saved, unless it
                was asked to stop twice.
        """
        try:
            with kept_handlers(SIGNALS), stop_as_interrupt():
                yield
        except KeyboardInterrupt as stop:
            further = how_to_go_on if self.path.exists() else how_to_begin
            report(f"stopped: {self.kept_text()}; {further}")
            if self.signal_received == signal.SIGUSR1:
                raise StoppedForRequeue from stop
            raise

    def kept_text(self) -> str:
        """Words for the checkpoint from which the run can go on."""
        if not self.path.exists():
            return "nothing is saved yet"
        # A run that is stopped while it reads its checkpoint does not know the step.
        return f"{self.path} is " + (f"of step {self.kept_step:,}" if self.kept_step else "kept")

    def remedy(self) -> str:
        """Advice after a run went astray."""
        return f"{self.kept_text()}. Start again with a lower learning rate."

    def state_dict(self):
        return {
            "saved_step": self.saved_step,
            "whole_batch": self.whole_batch,
            "identity": self.identity,
        }

    def load_state_dict(self, state_dict):
        """Go on from a saved step.

        Raises:
            ValueError: another number of images per batch, or the checkpoint of another run.
        """
        if state_dict.get("identity") != read_identity(self.path.parent):
            record = self.path.with_name(START)
            if not record.exists():
                raise ValueError(f"{record}: is gone. Put it back: it tells the run of {LAST}.")
            raise ValueError(
                f"{self.path}: is of another run than {record} tells of. Put back the checkpoint "
                "of this run, or go on in the folder that it came from."
            )
        before = state_dict.get("whole_batch", self.whole_batch)  # older files do not say
        if before != self.whole_batch:
            raise ValueError(
                f"{self.path}: was trained with {before} images per batch in all processes "
                f"together, now {self.whole_batch}. Go on with as many processes as before."
            )
        self.saved_step = self.kept_step = state_dict["saved_step"]


def align_weights(model: torch.nn.Module) -> None:
    """Move weights from where they happen to lie in a mapped file to where torch puts new ones.

    Matrix products on the CPU round by the place of their operands in memory, and a checkpoint has
    another layout than the file that a run began with: a resumed run would differ in the last bit.
    Weights that are only rounded for products stay where they are, and take no memory.
    """
    for layer in model.modules():
        if isinstance(layer, Locked):
            continue
        for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
            if tensor.data_ptr() % ALIGNMENT:
                tensor.data = tensor.data.clone()


def over_processes(trainer: Trainer, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
    """`mean` or `max` of a scalar over all processes; `value` itself where there is one."""
    if trainer.world_size == 1:
        return value
    return trainer.strategy.reduce(value.clone(), reduce_op=reduce_op)
