"""The record of the weights that a training started from."""

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from core.files import sha256_of
from core.recording.records import Record, read_checked

START = "start.json"  # name of the record in the folder of a run


class StartRecord(Record):
    """The files that a training started from: SHA-256 by name."""

    weights: dict[str, str]


def fingerprint_start(paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Content of `START`; every file is read, with a progress bar.

    Files that share a name have that of their folder before it.
    """
    paths = list(paths)
    shared = len({path.name for path in paths}) < len(paths)
    bar = tqdm(paths, desc="note the first weights", unit="file", leave=False)
    return {
        "weights": {
            f"{path.parent.name}/{path.name}" if shared else path.name: sha256_of(path)
            for path in bar
        }
    }


def read_start(run_dir: Path) -> dict[str, str]:
    """SHA-256 of the first weights by file name; empty for a run of an older version."""
    path = run_dir / START
    return read_checked(path, StartRecord).weights if path.exists() else {}
