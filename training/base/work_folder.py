"""The folder of a pre-training that is not finished, from which it goes on."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.command_line.option_sources import changed_options, plain
from core.files import remove_leftovers, whole_folder, write_json
from core.recording.records import Record, read_checked
from training.data.data_record import Contents, changed_files, contents_of

RECORD = "pretraining.json"  # a `PretrainingRecord`
# Options that may differ when it goes on: they change no weight.
FREE = {"output", "save_every", "latent_memory", "max_pixels", "options_file", "dry_run"}


class PretrainingRecord(Record):
    """Options of a pre-training by name, and its images."""

    options: dict[str, Any]
    images: Contents


class WorkFolder:
    """Folder beside the weights to be made; it holds all that is needed to go on, and goes at last.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path):
        self.path = path

    def open(self, options: Mapping[str, Any], images: Sequence[Path], goes_on: bool) -> None:
        """Make the folder, or make sure that it belongs to the same pre-training.

        Args:
            options: values by name.
            goes_on: whether there is something to go on from.
        Raises:
            RuntimeError: its pre-training had other options or images.
            ValueError: its record is damaged.
        """
        contents = contents_of(images)
        if not goes_on:
            shutil.rmtree(self.path, ignore_errors=True)  # of one that ended before its first save
            with whole_folder(self.path) as folder:
                write_json(folder / RECORD, {"options": plain(options), "images": contents})
            return
        remove_leftovers(self.path)  # of a process that was killed while it saved
        record = read_checked(self.path / RECORD, PretrainingRecord)
        changes = [f"{name} differs" for name in changed_options(options, record.options, FREE)]
        if changes := changes + changed_files(record.images, contents, "images"):
            raise RuntimeError(
                f"{self.path}: since the pre-training was stopped, {'; '.join(changes)}. Give it "
                "what it had to go on, or delete the folder to start anew."
            )

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.path / name

    def remove(self) -> None:
        """Delete the folder: the weights are written."""
        shutil.rmtree(self.path)
