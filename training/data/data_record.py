"""The record of a training's data: which files, and what was in them.

A run that goes on with other images would be neither the old run nor a new one.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.checks import bar_for_many
from core.files import sha256_of
from core.imaging.pairing import list_names
from core.imaging.pixel_size import PixelSizeRecord
from core.recording.records import read_checked
from core.recording.run_files import LAST
from training.data.datasets import DataSets

Contents = dict[str, str]  # SHA-256 by the name of the file
CONTENTS = ("images", "conditions", "val_images", "val_conditions")


class DataRecord(PixelSizeRecord):
    """Files of a training, `images` and `conditions`, those of its validation, and pixel size."""

    images: Contents
    conditions: Contents
    val_images: Contents = {}
    val_conditions: Contents = {}


def fingerprint_data(datasets: DataSets) -> dict[str, Any]:
    """Content of `DATA`; every file is read, with a progress bar where they are many."""
    record = {
        "images": [pair.image for pair in datasets.train.pairs],
        "conditions": [pair.condition for pair in datasets.train.pairs],
    }
    if datasets.validation:
        pairs = datasets.validation.dataset.pairs
        record |= {
            "val_images": [pair.image for pair in pairs],
            "val_conditions": [pair.condition for pair in pairs],
        }
    # One file may serve as several: read once.
    sums = _sums(path for group in record.values() for path in group)
    contents = {name: {p.name: sums[p] for p in group} for name, group in record.items()}
    return {"pixel_size_nm": datasets.train.pixel_size, **contents}


def contents_of(paths: Iterable[Path]) -> Contents:
    """Contents of files with different names; every file is read, as by `fingerprint_data`."""
    return {path.name: total for path, total in _sums(paths).items()}


def _sums(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file."""
    return {
        path: sha256_of(path) for path in bar_for_many(dict.fromkeys(paths), desc="note the data")
    }


def changed_files(before: Contents, now: Contents, group: str) -> list[str]:
    """Changes between two contents, a phrase each; none where they are equal.

    Args:
        group: what the files are, in the plural.
    """
    kinds = {
        "added to": now.keys() - before.keys(),
        "removed from": before.keys() - now.keys(),
        "changed in": {name for name in before.keys() & now.keys() if before[name] != now[name]},
    }
    return [
        f"{list_names([Path(name) for name in names])} {verb} the {group}"
        for verb, names in kinds.items()
        if names
    ]


def check_same_data(path: Path, now: Mapping[str, Any]) -> None:
    """Check that the data are those of a record.

    Args:
        path: of the record.
        now: what `fingerprint_data` returns.
    Raises:
        RuntimeError: files were added, removed or changed. The message lists the first of them.
        ValueError: the record is damaged.
    """
    before = read_checked(path, DataRecord)
    changes = []
    for name in CONTENTS:
        changes += changed_files(getattr(before, name), now.get(name, {}), name)
    if changes:
        raise RuntimeError(
            f"{path}: since the run was started, {'; '.join(changes)}. Put them back, or "
            f"start a new run from its weights: --resume_path {path.parent / LAST}"
        )
