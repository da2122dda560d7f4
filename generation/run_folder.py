"""The folder of one generation, which several processes may fill and which a killed one goes on with.

A picture counts as made when its file in `images/` is there; it is renamed into place last. Everything else, the manifest
included, follows from the plan and from which pictures are there.
"""

import fcntl
import json
import os
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from core.files import remove_leftovers, whole_file

RECORD, STATE, MANIFEST = "args.json", "generate_state.json", "manifest.jsonl"
PATIENCE = 60  # seconds in which the process that made the folder must have described the run


def read_record(run_dir: Path) -> dict:
    """Options of the run in `run_dir`; raises FileNotFoundError where there is none."""
    path = run_dir / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there, so {run_dir} is no folder of generate.py")
    return json.loads(path.read_text())["args"]


def create_run(run_dir: Path) -> bool:
    """Make the folder; False where another process has made it, after waiting until that one has described the run."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        run_dir.mkdir()
        return True
    except FileExistsError:
        give_up = time.monotonic() + PATIENCE
        while not (run_dir / RECORD).is_file():
            if time.monotonic() > give_up:
                raise FileNotFoundError(
                    f"{run_dir}: exists without {RECORD}. Remove it, or name another run."
                ) from None
            time.sleep(0.2)
        return False


def finished_images(run_dir: Path) -> set[str]:
    """Names of the pictures that are there."""
    return {
        entry.name for entry in os.scandir(run_dir / "images") if not entry.name.startswith(".")
    }


@contextmanager
def only_one(run_dir: Path):
    """One process at a time in the block; processes on other machines too where the file system has locks."""
    with open(run_dir / RECORD, "r+") as record:  # never replaced, so all lock the same file
        try:
            fcntl.flock(record, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: a line could be doubled until the manifest is next written whole
            pass
        yield


@contextmanager
def filling(run_dir: Path):
    """Any number of processes at a time in the block, where pictures are written; `remove_half_written` keeps away from them."""
    with open(run_dir / STATE, "r+") as state:  # never replaced either
        with suppress(OSError):
            fcntl.flock(state, fcntl.LOCK_SH)
        yield


def remove_half_written(run_dir: Path) -> None:
    """Remove what killed processes left among the pictures; not where another process is in `filling` or the file system has no locks."""
    with open(run_dir / STATE, "r+") as state, suppress(OSError):
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in ("images", "masks", "conditions"):
            remove_leftovers(run_dir / folder)


def append_to_manifest(run_dir: Path, line: dict) -> None:
    with only_one(run_dir), open(run_dir / MANIFEST, "a") as file:
        file.write(json.dumps(line) + "\n")


def write_manifest(run_dir: Path, lines: Iterable[dict]) -> None:
    """Write the manifest whole; the caller makes sure, with `only_one`, that no line is appended meanwhile."""
    with whole_file(run_dir / MANIFEST) as temporary, open(temporary, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


class Writer:
    """Does jobs in order in a thread, so that files are written while the next pictures are computed.

    A context manager that ends when all is written; an error of a job is raised by a later `submit` or at the end.
    """

    LIMIT = 64  # jobs that may wait; each holds a picture

    def __init__(self):
        self.pool, self.waiting = ThreadPoolExecutor(1), deque()

    def submit(self, function, *arguments) -> None:
        while self.waiting and (len(self.waiting) >= self.LIMIT or self.waiting[0].done()):
            self.waiting.popleft().result()
        self.waiting.append(self.pool.submit(function, *arguments))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.pool.shutdown(wait=True, cancel_futures=False)
        if error is None:
            while self.waiting:
                self.waiting.popleft().result()
