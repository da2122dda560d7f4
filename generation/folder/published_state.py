"""The state of a run as the published code writes it, for notebooks and for runs made by it.

It has the name and the keys of the file that `generation.folder.state` writes. Of the values less
is known: notebooks put into it what they like.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

import config
from core.files import write_json
from core.recording.records import RECORD, STATE, Record, read_checked
from generation.names import FIRST_BATCH, MASK, image_name, name_ending
from generation.planning.plan import MAX_IMAGES

SIMPLE = (str, int, float, bool, list, dict, type(None))  # types of switches that are noted


class PublishedState(Record):
    """The keys that both files have; the published code leaves out those with a default here."""

    args: dict[str, Any]
    condition_paths: Any
    primary_condition_key: str | None = None
    mask_paths: Any
    condition_records: Any = None
    config: Any
    saved_at: str


class PublishedRun(PublishedState):
    """The state of a run of the published code: a list of the files that lead their conditions."""

    class Options(Record):
        """Options that the names of images follow from; a notebook may have none of them."""

        n_augmentations_per_mask: PositiveInt = 1
        batch_size_per_inference: PositiveInt = 1

    args: Options
    condition_paths: list[str]

    def image_names(self) -> Iterator[str]:
        """Names of all images of the run, whose batches belong to one condition each.

        Raises:
            ValueError: more images than can be listed.
        """
        copies, size = self.args.n_augmentations_per_mask, self.args.batch_size_per_inference
        if copies * len(self.condition_paths) > MAX_IMAGES:
            raise ValueError(f"{STATE}: more than {MAX_IMAGES:,} images")
        for number in range(len(self.condition_paths)):
            for copy in range(copies):
                batch, sample = divmod(copy, size)
                yield image_name(name_ending(number, FIRST_BATCH + batch, sample))


def published_run(run_dir: Path) -> PublishedRun | None:
    """The state of a run that the published code or a notebook began; None for any other folder.

    Raises:
        ValueError: as `core.recording.records.read_checked`.
    """
    # Ours have a record too.
    if (run_dir / RECORD).exists() or not (run_dir / STATE).exists():
        return None
    state = read_checked(run_dir / STATE, PublishedState)
    is_ours = isinstance(state.condition_paths, Mapping)
    return None if is_ours else read_checked(run_dir / STATE, PublishedRun)


def save_generation_state(
    args: Namespace | Mapping,
    condition_paths: Sequence[str | Path],
    run_output_dir: str | Path,
    filename: str = STATE,
    condition_records: Sequence[Mapping] | None = None,
    primary_condition_key: str | None = None,
) -> str:
    """Write what a notebook is about to generate; the file is whole or as it was before.

    Args:
        args: options by name.
        condition_paths: the condition file that leads each set.
        run_output_dir: is made where it is missing.
        condition_records: for each set its files by the key of the condition.
        primary_condition_key: of `condition_paths`.
    Returns:
        The path of the file.
    Raises:
        TypeError: `args` is something else.
        OSError: the file cannot be written.
    """
    if not isinstance(args, Mapping | Namespace):
        raise TypeError(f"args is a {type(args).__name__}, expected a Namespace or a mapping")
    paths = [str(path) for path in condition_paths]
    state: dict[str, Any] = {
        "args": dict(args if isinstance(args, Mapping) else vars(args)),
        "condition_paths": paths,
        "mask_paths": paths if primary_condition_key == MASK else [],
        "config": {
            name: value
            for name, value in vars(config).items()
            if not name.startswith("_") and isinstance(value, SIMPLE)
        },
        "saved_at": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    if primary_condition_key is not None:
        state["primary_condition_key"] = primary_condition_key
    if condition_records is not None:
        state["condition_records"] = [dict(record) for record in condition_records]
        masks = [record[MASK] for record in condition_records if MASK in record]
        state["mask_paths"] = masks if condition_records else state["mask_paths"]
    path = Path(run_output_dir) / filename
    write_json(path, state)
    return str(path)


def load_generation_state(filepath: str | PathLike) -> dict[str, Any]:
    """The state of a run by key, written by any code.

    Args:
        filepath: of the file, or of the run's folder, which holds `STATE`.
    Raises:
        FileNotFoundError: no such file.
        ValueError: as `core.recording.records.read_checked`.
    """
    path = Path(filepath)
    path = path / STATE if path.is_dir() else path
    return read_checked(path, PublishedState).model_dump(exclude_unset=True)
