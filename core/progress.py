"""How far a training is, in a small file of its run's folder that `utils/run_status.py` reads while the run goes on."""

import json
import math
import time
from pathlib import Path

from pytorch_lightning.callbacks import Callback

from core.files import whole_file

PROGRESS = "progress.json"
EVERY = 10  # seconds between two writes


class Progress(Callback):
    """Keeps `progress.json`: step, steps in all, loss, seconds per step of this process (validation and saving included), checkpoint, state.

    The state is `running`, `done`, `stopped` (it can be resumed) or `failed`, with the error; a killed process leaves `running`
    and an old `updated`, seconds since 1970.
    """

    def __init__(self, run_dir: Path):
        self.path = run_dir / PROGRESS
        self.content = {
            "state": "running",
            "step": 0,
            "total_steps": None,
            "loss": None,
            "seconds_per_step": None,
            "checkpoint_step": None,
            "error": None,
        }
        self.first_step = None  # of this process

    def on_train_start(self, trainer, pl_module):
        total = trainer.estimated_stepping_batches
        self.content["total_steps"] = None if math.isinf(total) else int(total)
        self.start, self.first_step = time.monotonic(), trainer.global_step
        self._write(trainer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if time.monotonic() - self.written >= EVERY:
            self.content["loss"] = float(outputs["loss"])
            self._write(trainer)

    def on_save_checkpoint(
        self, trainer, pl_module, checkpoint
    ):  # weights alone, which nothing goes on from, do not call it
        self.content["checkpoint_step"] = checkpoint["global_step"]
        self._write(trainer)

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.content["checkpoint_step"] = checkpoint["global_step"]

    def on_train_end(self, trainer, pl_module):
        self.content["state"] = "done"
        self._write(trainer)

    def on_exception(self, trainer, pl_module, exception):
        stopped = isinstance(exception, KeyboardInterrupt)
        self.content |= (
            {"state": "stopped"}
            if stopped
            else {"state": "failed", "error": " ".join(str(exception).split())}
        )
        self._write(trainer)

    def _write(self, trainer):
        self.written = time.monotonic()
        if not trainer.is_global_zero:
            return
        self.content |= {"step": trainer.global_step, "updated": time.time()}
        if self.first_step is not None and trainer.global_step > self.first_step:
            self.content["seconds_per_step"] = (self.written - self.start) / (
                trainer.global_step - self.first_step
            )
        with whole_file(self.path) as temporary:
            temporary.write_text(json.dumps(self.content) + "\n")
