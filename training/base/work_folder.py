"""The folder of a pre-training that is not finished, from which it goes on."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.command_line.option_sources import changed_options, plain
from core.files import remove_leftovers, whole_folder, write_json
from core.notices import notify
from core.recording.records import Record, read_checked
from training.base.options import RECORD, BaseFileOptions
from training.data.data_record import (
    Contents,
    Digests,
    changed_files,
    changed_names,
    contents_of,
    digests_of,
)

# Options that may differ when it goes on: they change no weight.
FREE = {"output", "save_every", "latent_memory", "max_pixels", "options_file", "dry_run"}
# Paths that may change: their contents are compared
COMPARED = {"image_path", "config", "init", "prompts_file"}


class PretrainingRecord(Record):
    """Content of `RECORD`.

    Attributes:
        options: of the pre-training, by name.
        images: SHA-256 by the name of the file.
        read_once: files that single options name.
    """

    options: dict[str, Any]
    images: Contents
    read_once: Digests


class WorkFolder:
    """Folder beside the weights to be made, with all that is needed to go on.

    It is deleted once they are written.

    Args:
        files: name it; `BaseOptions.require_new_files` has found nothing else in its place.
    """

    def __init__(self, files: BaseFileOptions):
        self.files, self.path = files, files.work_folder

    def open(self, options: Mapping[str, Any], images: Sequence[Path]) -> None:
        """Make the folder, or make sure that it belongs to the same pre-training.

        Args:
            options: values by name.
        Raises:
            RuntimeError: its pre-training had other options or files.
            ValueError: its record is damaged.
        """
        if self.files.goes_on:
            self.compare(options, images)
            remove_leftovers(self.path)  # of a process that was killed while it saved
            return
        if self.path.exists():  # of one that ended before its first save
            _delete(self.path)
        record = {
            "options": plain(options),
            "images": contents_of(images),
            "read_once": digests_of(self.files.read_once),
        }
        with whole_folder(self.path) as folder:
            write_json(folder / RECORD, record)

    def compare(self, options: Mapping[str, Any], images: Sequence[Path]) -> None:
        """Make sure that a pre-training that goes on is the same; raises as `open`."""
        record = read_checked(self.path / RECORD, PretrainingRecord)
        free = FREE | COMPARED
        changes = [f"{name} differs" for name in changed_options(options, record.options, free)]
        changes += changed_files(record.images, contents_of(images), "images")
        changes += changed_names(record.read_once, digests_of(self.files.read_once))
        if changes:
            raise RuntimeError(
                f"{self.path}: since the pre-training was stopped, {'; '.join(changes)}. Use the "
                "same options and files, or delete the folder to start anew."
            )

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.path / name

    def remove(self) -> None:
        """Delete the folder, for the weights are written; warn where the system will not."""
        try:
            _delete(self.path)
        except OSError as error:  # NFS keeps a file that is still open under another name
            notify(f"{self.path} is no longer needed, but cannot be deleted ({error})")


def _delete(folder: Path) -> None:
    """Delete a work folder; where that is cut off, what is left is still known as one."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink()
    (folder / RECORD).unlink(missing_ok=True)
    folder.rmdir()
