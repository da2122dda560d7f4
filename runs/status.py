"""The state of runs, read from their folders: trainings, pre-trainings and generations.

Nothing is asked of the processes: files and their times tell what is done, how fast, and whether
work still goes on. Runs on other machines are therefore seen too.
"""

import heapq
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from core.imaging.pairing import IMAGES
from core.recording.records import RECORD, STATE, RunRecord, read_checked
from core.recording.run_files import LAST, PROGRESS, ProgressRecord
from core.text import duration, table
from generation.folder.published_state import PublishedRun, published_run
from generation.folder.run_folder import finished_images, images_with_companions
from generation.folder.state import read_generation
from generation.planning.plan import SamplePlan

DEPTH = 4  # levels below a folder that are searched for runs
RECENT = 50  # images whose times give the pace of a shard
PATIENCE = 20  # steps or images that a run may take without a sign before it counts as stalled
SEVERITY = ("done", "waiting", "running", "stopped", "stalled", "failed", "damaged")
HEADER = ["run", "state", "done", "each takes", "left", "last sign", "notes"]


class Status(NamedTuple):
    """State of one run or of one shard of a run.

    Attributes:
        state: one of `SEVERITY`.
        unit: what is counted, "steps" or "images"; empty for a damaged run.
        done, planned: number of steps or images; `planned` is None where nobody knows it.
        pace: seconds for one step or image; None before the first.
        seen: time of the last sign of life, seconds since 1970; None for none.
    """

    name: str
    state: str
    unit: str = ""
    done: int = 0
    planned: int | None = None
    pace: float | None = None
    seen: float | None = None
    notes: str = ""

    def row(self, now: float) -> list[str]:
        """Cells of the table, in the order of `HEADER`."""
        total = f" / {self.planned:,}" if self.planned is not None else ""
        left = None
        if self.state == "running" and self.pace and self.planned:
            left = (self.planned - self.done) * self.pace
        return [
            self.name,
            self.state,
            f"{self.done:,}{total} {self.unit}" if self.unit else "",
            duration(self.pace) if self.pace else "",
            duration(left) if left else "",
            f"{duration(max(0.0, now - self.seen))} ago" if self.seen else "",
            self.notes,
        ]


def status_table(statuses: list[Status], now: float) -> str:
    """The table that people read, one line for each status."""
    return table([HEADER, *(status.row(now) for status in statuses)])


def find_runs(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Folders of runs, sorted: `path` itself or folders below it, but none inside a run."""
    has_record = any((path / name).is_file() for name in (PROGRESS, RECORD, STATE))
    # `run_*` without a record: a generation that was killed while it began.
    if has_record or (path.name.startswith("run_") and path.is_dir()):
        yield path
    elif depth:
        entries = [entry for entry in os.scandir(path) if entry.is_dir()]
        for name in sorted(entry.name for entry in entries if not entry.name.startswith(".")):
            yield from find_runs(path / name, depth - 1)


def run_statuses(
    run: Path, now: float, stalled_after: float, num_shards: int | None = None
) -> list[Status]:
    """Statuses of a run of any kind: one, or for a generation in shards one more for each shard.

    A run that cannot be read gives one status "damaged".

    Args:
        now: seconds since 1970.
        stalled_after: seconds of silence after which a run counts as stalled; a slow run gets
            `PATIENCE` times its own pace.
        num_shards: shards of a generation; as many as the run was started with when None.
    """
    try:
        if state := published_run(run):
            return [published_status(run, state, now, stalled_after)]
        if is_training(run):
            return [training_status(run, now, stalled_after)]
        return generation_statuses(run, now, stalled_after, num_shards)
    except KeyError as error:
        return [Status(str(run), "damaged", notes=f"its record lacks {error}")]
    except (OSError, ValueError, TypeError) as error:
        # The run stands at the start of the line already.
        notes = " ".join(str(error).replace(f"{run}{os.sep}", "").split())
        return [Status(str(run), "damaged", notes=notes)]


def is_training(run: Path) -> bool:
    """Tell whether the folder is a training's or pre-training's, which may not have begun yet."""
    if (run / PROGRESS).is_file():
        return True
    record = read_checked(run / RECORD, RunRecord)
    # Records of older versions have no kind. Of these, only a training's has this option.
    older = "training" if "cldm_config_path" in record.args else "generation"
    return (record.kind or older) == "training"


def is_silent(now: float, seen: float, pace: float | None, stalled_after: float) -> bool:
    """Tell whether the last sign `seen` is older than `stalled_after` and than `PATIENCE` steps."""
    return now - seen > max(stalled_after, PATIENCE * (pace or 0))


# Trainings


def training_status(run: Path, now: float, stalled_after: float) -> Status:
    """Status of a training or pre-training."""
    if not (run / PROGRESS).is_file():
        seen = (run / RECORD).stat().st_mtime
        state = "stalled" if is_silent(now, seen, None, stalled_after) else "waiting"
        return Status(str(run), state, "steps", seen=seen, notes="no step yet")
    progress = read_checked(run / PROGRESS, ProgressRecord)
    state, pace, seen = progress.state, progress.seconds_per_step, progress.updated
    if state == "running" and is_silent(now, seen, pace, stalled_after):
        state = "stalled"  # a killed process leaves "running" behind
    notes = _training_notes(run, progress, now)
    return Status(str(run), state, "steps", progress.step, progress.total_steps, pace, seen, notes)


def _training_notes(run: Path, progress: ProgressRecord, now: float) -> str:
    """Loss, last checkpoint and error of a training, as far as there are any."""
    notes = []
    if progress.loss is not None:
        notes.append(f"loss {progress.loss:.4g}")
    if (run / LAST).is_file():
        # A clock of another machine may be ahead of this one's.
        age = duration(max(0.0, now - (run / LAST).stat().st_mtime))
        # The step may not have been noted before the process was killed.
        step = progress.checkpoint_step
        notes.append(f"{LAST}{'' if step is None else f' of step {step:,}'}, {age} ago")
    elif progress.state != "done":  # one that is done needs none
        notes.append("no checkpoint yet")
    if progress.ended_early:
        notes.append("ended early: no longer got better")
    if progress.error:
        notes.append(progress.error)
    return "; ".join(notes)


# Generations


def generation_statuses(
    run: Path, now: float, stalled_after: float, num_shards: int | None = None
) -> list[Status]:
    """Status of a generation; where it has several shards, the sum followed by each shard.

    Args:
        num_shards: as many as the run was started with when None.
    """
    record, state = read_generation(run)
    conditions = range(len(state.condition_records))  # their number is all that names need
    args = record.args
    copies = state.copies or [args.n_augmentations_per_mask] * len(conditions)
    plan = SamplePlan(conditions, copies, args.seed, state.prompts, first_batch=state.first_batch)
    plan.require_listable()
    count = num_shards or args.num_shards or 1
    images = {name: (run / IMAGES / name).stat() for name in finished_images(run)}
    # Runs of older versions do not say it. Of these, edges alone gave no masks.
    has_masks = args.generation_mode != "edge_only" if state.has_masks is None else state.has_masks
    complete = images_with_companions(run, has_masks)
    # The shards of a run may wait in a queue for days, so only a run in one part has a start.
    started = (run / RECORD).stat().st_mtime if count == 1 else None
    shards = []
    for index in range(count):
        names = [plan.file_name(k) for k in plan.shard(index, count)]
        name = f"  shard {index} of {count}" if count > 1 else str(run)
        shards.append(_shard_status(name, names, images, complete, started, now, stalled_after))
    return shards if count == 1 else [_sum_of_shards(str(run), shards), *shards]


def published_status(run: Path, state: PublishedRun, now: float, stalled_after: float) -> Status:
    """Status of a generation of the published code, which writes no masks."""
    names = list(state.image_names())
    images = {name: (run / IMAGES / name).stat() for name in finished_images(run)}
    complete = images_with_companions(run, has_masks=False) if images else set()
    started = (run / STATE).stat().st_mtime
    status = _shard_status(str(run), names, images, complete, started, now, stalled_after)
    unfinished = status.state in ("stalled", "failed")
    notes = [status.notes, "cannot be resumed" if unfinished else ""]
    return status._replace(notes="; ".join(filter(None, notes)))


def _shard_status(
    title: str,
    names: list[str],
    images: Mapping[str, os.stat_result],
    complete: set[str],
    started: float | None,
    now: float,
    stalled_after: float,
) -> Status:
    """Status of the images `names`.

    An image counts as failed when it is empty, or when its mask or the picture of its condition is
    not there (its name is not in `complete`).
    """
    there = [name for name in names if name in images]
    failed = sum(not images[name].st_size or name not in complete for name in there)
    done, planned = len(there) - failed, len(names)
    # Of the recent images alone: a run that was stopped for a night would seem slow.
    recent = heapq.nlargest(RECENT, (images[name].st_mtime for name in there))
    pace = (recent[0] - recent[-1]) / (len(recent) - 1) if len(recent) > 1 else None
    seen = recent[0] if recent else None
    last_sign = seen or started
    if done == planned:
        state = "done"
    elif last_sign and is_silent(now, last_sign, pace, stalled_after):
        state = "failed" if failed else "stalled"
    else:
        state = "running" if seen else "waiting"
    notes = f"{failed} failed" if failed else ""
    return Status(title, state, "images", done, planned, pace, seen, notes)


def _sum_of_shards(title: str, shards: list[Status]) -> Status:
    """Status of all shards together: their worst state, and the pace of those that run."""
    # Shards work side by side, so their rates add up; those that are done add nothing.
    per_second = sum(1 / s.pace for s in shards if s.pace and s.state == "running")
    return Status(
        title,
        # The worst state: one failed shard makes the run fail.
        max((shard.state for shard in shards), key=SEVERITY.index),
        "images",
        sum(shard.done for shard in shards),
        sum(shard.planned for shard in shards),
        1 / per_second if per_second else None,
        max((shard.seen for shard in shards if shard.seen), default=None),
    )
