"""How far are the runs? A table of trainings, pre-trainings and generations, finished or under way.

    python utils/run_status.py models my_synth_data

Exit code: 0 when everything is done; 3 when nothing is wrong but work is left (running, waiting); 1 when a run is stopped,
stalled, failed or damaged.
"""

import argparse
import heapq
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.lightning import LAST
from core.options import positive_float, positive_int
from core.progress import PROGRESS
from core.text import duration, table
from generation.plan import SamplePlan
from generation.run_folder import RECORD, STATE
from share import run_script

DEPTH = 4  # levels below a folder that are looked through for runs
RECENT = 50  # pictures whose times give a shard's pace
PATIENCE = 20  # a run that was silent for so many of its own steps or pictures has stalled
WORK_LEFT = 3  # exit code
SEVERITY = ("done", "waiting", "running", "stopped", "stalled", "failed", "damaged")


class Status(NamedTuple):
    """One row.

    Attributes:
        done, planned: optimizer steps or pictures; `planned` None where it is not known.
        pace: seconds for each; None before there are any.
        seen: seconds since 1970 of the last sign of life; None for none.
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
        of = f" / {self.planned:,}" if self.planned is not None else ""
        left = (
            (self.planned - self.done) * self.pace
            if self.pace and self.planned and self.state == "running"
            else None
        )
        return [
            self.name,
            self.state,
            f"{self.done:,}{of} {self.unit}" if self.unit else "",
            f"{duration(self.pace)}" if self.pace else "",
            duration(left) if left else "",
            f"{duration(max(0.0, now - self.seen))} ago" if self.seen else "",
            self.notes,
        ]


def is_silent(now: float, seen: float, pace: float | None, stalled_after: float) -> bool:
    """Whether a run that should go on has stalled: no sign for `stalled_after` seconds, or longer where its own pace is slower."""
    return now - seen > max(stalled_after, PATIENCE * (pace or 0))


def training_status(run: Path, now: float, stalled_after: float) -> Status:
    """Status of a folder of train.py or fid/pretraining."""
    if not (run / PROGRESS).is_file():
        seen = (run / RECORD).stat().st_mtime
        silent = is_silent(now, seen, None, stalled_after)
        return Status(
            str(run), "stalled" if silent else "waiting", "steps", seen=seen, notes="no step yet"
        )
    content = read_json(run / PROGRESS)
    state, pace, seen = content["state"], content["seconds_per_step"], content["updated"]
    if state not in SEVERITY:
        raise ValueError(f"{PROGRESS}: unknown state {state}")
    if state == "running" and is_silent(now, seen, pace, stalled_after):
        state = "stalled"
    notes = [f"loss {content['loss']:.4g}"] if content["loss"] is not None else []
    if (run / LAST).is_file():
        age = duration(max(0.0, now - (run / LAST).stat().st_mtime))
        notes.append(f"{LAST} of step {content['checkpoint_step']:,}, {age} ago")
    elif state != "done":
        notes.append("no checkpoint yet")
    if content["error"]:
        notes.append(content["error"])
    return Status(
        str(run),
        state,
        "steps",
        content["step"],
        content["total_steps"],
        pace,
        seen,
        "; ".join(notes),
    )


def generation_status(
    run: Path, now: float, stalled_after: float, num_shards: int | None = None
) -> list[Status]:
    """Status of a folder of generate.py: the whole, then each shard where there are several.

    Args:
        num_shards: the number that the run was started with when None.
    A picture counts as failed when it is empty or lacks its mask or the picture of its condition.
    """
    record, state = read_json(run / RECORD)["args"], read_json(run / STATE)
    plan = SamplePlan(
        range(len(state["condition_records"])),
        record["n_augmentations_per_mask"],
        record["seed"],
        state["prompts"],
    )
    count = num_shards or record["num_shards"]
    pictures = {
        entry.name: entry.stat()
        for entry in os.scandir(run / "images")
        if not entry.name.startswith(".")
    }
    complete = names_with_companions(run, record["generation_mode"])
    shards = []
    for index in range(count):
        there = [name for k in plan.shard(index, count) if (name := plan.file_name(k)) in pictures]
        failed = sum(not pictures[name].st_size or name not in complete for name in there)
        recent = heapq.nlargest(RECENT, (pictures[name].st_mtime for name in there))
        pace = (recent[0] - recent[-1]) / (len(recent) - 1) if len(recent) > 1 else None
        seen, planned, done = (
            recent[0] if recent else None,
            len(plan.shard(index, count)),
            len(there) - failed,
        )
        begun = (
            seen if seen or count > 1 else (run / RECORD).stat().st_mtime
        )  # shards may wait in a queue for days
        if done == planned:
            word = "done"
        elif begun and is_silent(now, begun, pace, stalled_after):
            word = "failed" if failed else "stalled"
        else:
            word = "running" if seen else "waiting"
        shards.append(
            Status(
                f"  shard {index} of {count}",
                word,
                "images",
                done,
                planned,
                pace,
                seen,
                f"{failed} failed" if failed else "",
            )
        )
    if count == 1:
        return [shards[0]._replace(name=str(run))]
    speed = sum(1 / shard.pace for shard in shards if shard.pace and shard.state == "running")
    total = Status(
        str(run),
        max((shard.state for shard in shards), key=SEVERITY.index),
        "images",
        sum(shard.done for shard in shards),
        len(plan),
        1 / speed if speed else None,
        max((shard.seen for shard in shards if shard.seen), default=None),
    )
    return [total, *shards]


def names_with_companions(run: Path, mode: str) -> set[str]:
    """Names in `images/` whose mask and condition pictures are there."""
    folders = {} if mode == "edge_only" else {"image": run / "masks"}
    folders |= {folder.name: folder for folder in (run / "conditions").iterdir()}
    found = [
        {"image" + name.removeprefix(prefix) for name in os.listdir(folder)}
        for prefix, folder in folders.items()
    ]
    return set.intersection(*found)


def read_json(path: Path) -> dict:
    """Content of a file that a run keeps; raises FileNotFoundError or ValueError with its name."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name}: not there")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path.name}: cannot be read ({error})") from error


def find_runs(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Folders of runs, `path` itself or below, sorted; nothing inside a run is looked at."""
    if any((path / name).is_file() for name in (PROGRESS, RECORD, STATE)) or (
        path.name.startswith("run_") and path.is_dir()
    ):
        yield path
    elif depth:
        for name in sorted(
            entry.name
            for entry in os.scandir(path)
            if entry.is_dir() and not entry.name.startswith(".")
        ):
            yield from find_runs(path / name, depth - 1)


def statuses(run: Path, now: float, stalled_after: float, num_shards: int | None) -> list[Status]:
    """Rows of a run of any kind; one that cannot be read is one damaged row."""
    try:
        is_training = (run / PROGRESS).is_file() or "cldm_config_path" in read_json(run / RECORD)[
            "args"
        ]
        return (
            [training_status(run, now, stalled_after)]
            if is_training
            else generation_status(run, now, stalled_after, num_shards)
        )
    except KeyError as error:
        return [Status(str(run), "damaged", notes=f"its record lacks {error}")]
    except (OSError, ValueError, TypeError) as error:
        return [Status(str(run), "damaged", notes=" ".join(str(error).split()))]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=type(
            "Help",
            (argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter),
            {},
        ),
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN_OR_FOLDER",
        help="runs, or folders that hold runs",
    )
    parser.add_argument(
        "--num_shards",
        type=positive_int,
        metavar="INT",
        help="parts of generations; the number a run was started with when not given",
    )
    parser.add_argument("--stalled_after", type=positive_float, default=30.0, metavar="MINUTES",
                        help=f"silence that counts as stalled, or {PATIENCE} of the run's own steps or images if that is longer")  # fmt: skip
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    rows, now = [], time.time()
    for path in args.runs:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder")
        found = [
            status
            for run in find_runs(path)
            for status in statuses(run, now, 60 * args.stalled_after, args.num_shards)
        ]
        if not found:
            raise FileNotFoundError(
                f"{path}: holds no run of train.py, generate.py or fid/pretraining"
            )
        rows += found
    print(
        table(
            [
                ["run", "state", "done", "each takes", "left", "last sign", "notes"],
                *(status.row(now) for status in rows),
            ]
        )
    )
    left = {status.state for status in rows} - {"done"}
    if left:
        sys.exit(WORK_LEFT if left <= {"running", "waiting"} else 1)


if __name__ == "__main__":
    run_script(main)
