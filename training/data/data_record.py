"""The record of a training's data: which files, and what was in them.

A run that goes on with other images, prompts or another model configuration would be neither the
old run nor a new one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from cldm.configuration import read_config
from core.checks import bar_for_many
from core.command_line.option_sources import plain
from core.files import sha256_of
from core.imaging.known_sizes import PixelSizeRecord, changed_sizes, pixel_size_of_folder
from core.imaging.pairing import list_names
from core.prompts import read_prompts
from core.recording.records import read_checked
from core.recording.run_files import LAST
from training.data.datasets import DataSets

Contents = dict[str, str]  # SHA-256 by the name of the file
# SHA-256 by the option that names the file: of its bytes, then of what is read from it. Records of
# older versions hold the first alone, without a list.
Digests = dict[str, Annotated[list[str], BeforeValidator(lambda v: [v] if type(v) is str else v)]]
# Of files that hold more than what is read from them, such as comments; by the option
READERS = {"cldm_config_path": read_config, "config": read_config, "prompts_file": read_prompts}
CONTENTS = ("images", "conditions", "val_images", "val_conditions")
STATED = ("images", "val_images")  # whose pixel size decides how both files of a pair are read


class DataRecord(PixelSizeRecord):
    """Files of a training, `images` and `conditions`, those of its validation, and pixel size.

    Attributes:
        stated_sizes: pixel size in nm, height and width, that the folders of `images` and
            `val_images` state; None where it is unknown, and nothing in runs of older versions.
        read_once: files that single options name; None in runs of older versions.
    """

    images: Contents
    conditions: Contents
    val_images: Contents = {}
    val_conditions: Contents = {}
    stated_sizes: dict[str, list[float] | None] = {}
    read_once: Digests | None = None


def fingerprint_data(datasets: DataSets, files: Mapping[str, Path]) -> dict[str, Any]:
    """Content of `DATA`; every file is read, with a progress bar where they are many.

    Args:
        files: further ones that decide the samples or the model, by the option that names each.
    """
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
    # Of the files, beside that of the samples: --pixel_size resamples by their ratio.
    folders = {name: group[0].parent for name, group in record.items() if name in STATED}
    return {
        "pixel_size_nm": datasets.train.pixel_size,
        "stated_sizes": {name: pixel_size_of_folder(folder) for name, folder in folders.items()},
        "read_once": digests_of(files),
        **contents,
    }


def digests_of(files: Mapping[str, Path]) -> Digests:
    """Digests of files by the option that names each; raises as `READERS` do."""
    digests = {}
    for name, path in files.items():
        digests[name] = [sha256_of(path)]
        if name in READERS:
            text = json.dumps(plain(READERS[name](path)), sort_keys=True)
            digests[name].append(hashlib.sha256(text.encode()).hexdigest())
    return digests


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


def changed_names(before: Digests, now: Digests) -> list[str]:
    """Differences between the files that options name, a phrase each.

    A file is the same where its bytes are, or what is read from it.

    Args:
        before, now: as `digests_of` gives them.
    """
    added = [f"--{name} was added" for name in now.keys() - before.keys()]
    lost = [f"--{name} was left out" for name in before.keys() - now.keys()]
    changed = [
        f"the file of --{name} was changed"
        for name in before.keys() & now.keys()
        if not {*before[name]} & {*now[name]}
    ]
    return sorted(added + lost + changed)


def check_same_data(path: Path, now: Mapping[str, Any]) -> None:
    """Check that the data are those of a record.

    What a record of an older version lacks is not compared.

    Args:
        path: of the record.
        now: what `fingerprint_data` returns.
    Raises:
        RuntimeError: files were added, removed or changed, or state another pixel size. The
            message lists the first of them.
        ValueError: the record is damaged.
    """
    before = read_checked(path, DataRecord)
    changes = []
    for name in CONTENTS:
        changes += changed_files(getattr(before, name), now.get(name, {}), name)
    changes += changed_sizes(before.stated_sizes, now["stated_sizes"])
    if before.read_once is not None:
        changes += changed_names(before.read_once, now["read_once"])
    if changes:
        raise RuntimeError(
            f"{path}: since the run was started, {'; '.join(changes)}. Put them back, or "
            f"start a new run from its weights: --resume_path {path.parent / LAST}"
        )
