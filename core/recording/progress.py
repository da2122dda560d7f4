"""The progress of a training, written to progress.json for other programs."""

import json
import math
import time
from contextlib import suppress
from pathlib import Path

from pytorch_lightning.callbacks import Callback

from core.files import write_json
from core.recording.run_files import LAST, PROGRESS

EVERY = 10  # seconds between two writes: often enough to watch, rare on a network file system


class Progress(Callback):
    """Callback that keeps `progress.json`, a `ProgressRecord`, up to date."""

    def __init__(self, run_dir: Path):
        self.path, self.checkpoint = run_dir / PROGRESS, run_dir / LAST
        self.saving = None  # step of a checkpoint that is being written, and what was there before
        self.content = {  # complete from the first write on, so readers need no defaults
            "state": "running",
            "step": 0,
            "total_steps": None,
            "loss": None,
            "seconds_per_step": None,
            "checkpoint_step": None,
            "error": None,
            "ended_early": False,
        }
        self.first_step = None  # of this process; None before it trains
        self.started = self.written = 0.0  # seconds on the monotonic clock

    def on_train_start(self, trainer, pl_module):
        """Note how long the training is planned to be."""
        total = trainer.estimated_stepping_batches
        self.content["total_steps"] = None if math.isinf(total) else int(total)
        # A resumed run starts at a later step, so its pace counts from there.
        self.started, self.first_step = time.monotonic(), trainer.global_step
        self._write(trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Write loss and step, at most every `EVERY` seconds."""
        if time.monotonic() - self.written >= EVERY:
            self.content["loss"] = float(outputs["loss"])
            self._write(trainer)

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        """Note the step that a resumed run would go on from, once the file is there."""
        # Lightning does not call it for files of weights alone, from which no run can go on.
        # It calls before it writes, and the disk may be full.
        self.saving = checkpoint["global_step"], self._file_on_disk()

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        """Note the step that this run goes on from."""
        self.content["checkpoint_step"] = checkpoint["global_step"]

    def on_train_end(self, trainer, pl_module):
        """Note that the training has finished."""
        self.content["state"] = "done"
        total = self.content["total_steps"]
        is_short = total is not None and trainer.global_step < total
        self.content["ended_early"] = bool(trainer.should_stop and is_short)
        self._write(trainer)

    def teardown(self, trainer, pl_module, stage):
        """Note what was saved at the very end, or that there was nothing left to train."""
        if self.first_step is None and self.content["state"] == "running":
            self.content |= {"state": "done", "total_steps": trainer.global_step}
            self._write(trainer)
        elif self.saving:
            self._write(trainer)

    def on_exception(self, trainer, pl_module, exception):
        """Note that the training was stopped, or why it failed."""
        if isinstance(exception, KeyboardInterrupt):
            self.content["state"] = "stopped"
        else:
            self.content |= {"state": "failed", "error": " ".join(str(exception).split())}
        try:
            self._write(trainer)
        except OSError:
            # The disk is full, and `exception` says so. The space of the old file is there still.
            with suppress(OSError), open(self.path, "r+") as file:
                file.write(json.dumps(self.content, indent=2) + "\n")
                file.truncate()

    def _write(self, trainer):
        # The monotonic clock measures pace; it has no date, so `updated` needs the other one.
        self.written = time.monotonic()
        if not trainer.is_global_zero:  # one process writes for all
            return
        if self.saving and self.saving[1] != self._file_on_disk():
            self.content["checkpoint_step"], self.saving = self.saving[0], None
        self.content |= {"step": trainer.global_step, "updated": time.time()}
        if self.first_step is not None and trainer.global_step > self.first_step:
            steps = trainer.global_step - self.first_step
            self.content["seconds_per_step"] = (self.written - self.started) / steps
        write_json(self.path, self.content)

    def _file_on_disk(self) -> tuple[int, int] | None:
        """Numbers that change when another checkpoint takes the place of this one."""
        if not self.checkpoint.is_file():
            return None
        status = self.checkpoint.stat()
        return status.st_ino, status.st_mtime_ns
