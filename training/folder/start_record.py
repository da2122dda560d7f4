"""The record of a training's start: its first weights, its options and its identity."""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.command_line.option_sources import plain, refuse_edited
from core.files import sha256_of
from core.recording.records import Record, read_checked
from core.recording.run_files import LAST

START = "start.json"  # name of the record in the folder of a run


class StartRecord(Record):
    """Weights and options that a training started from, and digits that tell it from others.

    Attributes:
        weights: SHA-256 by the name of the file.
        options: those that decide the training, by name; none in runs of older versions.
        identity: digits that only this run has, in its checkpoints too; None in runs of older
            versions.
    """

    weights: dict[str, str]
    options: dict[str, Any] = {}
    identity: str | None = None


def fingerprint_start(paths: Iterable[Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `START`; every file is read, with a progress bar.

    Files that share a name have that of their folder before it.

    Args:
        paths: of the first weights.
        options: those that decide the training, by name.
    """
    paths = list(paths)
    shared = len({path.name for path in paths}) < len(paths)
    bar = tqdm(paths, desc="note the first weights", unit="file", leave=False)
    return {
        "weights": {
            f"{path.parent.name}/{path.name}" if shared else path.name: sha256_of(path)
            for path in bar
        },
        "options": plain(options),
        "identity": secrets.token_hex(8),
    }


def read_start(run_dir: Path) -> dict[str, str]:
    """SHA-256 of the first weights by file name; empty for a run of an older version."""
    path = run_dir / START
    return read_checked(path, StartRecord).weights if path.exists() else {}


def read_identity(run_dir: Path) -> str | None:
    """`StartRecord.identity` of a run; None where its version had none."""
    path = run_dir / START
    return read_checked(path, StartRecord).identity if path.exists() else None


def check_same_options(run_dir: Path, now: Mapping[str, Any]) -> None:
    """Check that the options of a run that goes on are those that it was started with.

    Args:
        now: options that decide the training, by name.
    Raises:
        ValueError: one differs, and the message names it; or `START` is damaged.
    """
    path = run_dir / START
    saved = read_checked(path, StartRecord).options if path.exists() else {}
    known = {name: value for name, value in saved.items() if name in now}
    new_run = f"start a new run from its weights: --resume_path {run_dir / LAST}"
    refuse_edited(path, now, known, free=set(), new_run=new_run)
