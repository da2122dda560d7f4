"""Files in the folder of a training that tell how far it is."""

from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from core.recording.records import Record

LAST = "last.ckpt"  # everything that a run needs to go on
PREVIOUS = "last_previous.ckpt"  # the one before, in case that `LAST` gets damaged
DAMAGED = "last_damaged.ckpt"  # what was in the place of `LAST`
PROGRESS = "progress.json"  # a `ProgressRecord`


class ProgressRecord(Record):
    """Content of `progress.json`.

    Attributes:
        state: `stopped` can be resumed. A killed process leaves `running` behind, and an old time
            in `updated`.
        step, total_steps: optimizer steps; `total_steps` is None for a training without end.
        loss: of the last step that was noted.
        seconds_per_step: mean of this process, with validation and saving.
        checkpoint_step: step of the last full checkpoint.
        error: message of a failed training.
        ended_early: whether a training that is done ended before `total_steps`, because it no
            longer got better.
        updated: time of writing, seconds since 1970.
    """

    state: Literal["running", "done", "stopped", "failed"]
    step: NonNegativeInt
    total_steps: NonNegativeInt | None
    loss: float | None
    seconds_per_step: NonNegativeFloat | None
    checkpoint_step: NonNegativeInt | None
    error: str | None
    ended_early: bool = False
    updated: float


def can_restore(folder: Path) -> bool:
    """Tell whether a run has a checkpoint to go on from, sound or not."""
    return any((folder / name).is_file() for name in (LAST, PREVIOUS))
