"""The folder of a generation, into which several processes may write at once.

An image counts as made when its file in `images/` is there; that file is renamed into place last.
Everything else, the manifest included, follows from the plan and from the images that are there.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.files import remove_leftovers
from core.records import RECORD
from generation.names import CONDITIONS, IMAGE_PREFIX, IMAGES, MASKS, image_name

STATE = "generate_state.json"
PATIENCE = 60  # seconds in which the process that made the folder must have described the run


def make_folder(run_dir: Path) -> bool:
    """Make the folder, or wait for the process that has made it before to write the record.

    Returns:
        Whether this process has made it.
    Raises:
        FileNotFoundError: the record does not appear.
    """
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    # Making a folder is atomic, on network file systems too, so exactly one process succeeds.
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
    """Names of the images that are there."""
    # Temporary files begin with a dot. One listing, instead of a question for each image.
    return {entry.name for entry in os.scandir(run_dir / IMAGES) if not entry.name.startswith(".")}


def images_with_companions(run_dir: Path, has_masks: bool) -> set[str]:
    """Names of images for which `masks/` and each folder of `conditions/` hold a picture.

    Args:
        has_masks: whether the run writes masks.
    """
    folders = {IMAGE_PREFIX: run_dir / MASKS} if has_masks else {}  # beginning of names -> folder
    folders |= {f"{folder.name}_": folder for folder in (run_dir / CONDITIONS).iterdir()}
    found = [
        {image_name(name.removeprefix(prefix)) for name in os.listdir(folder)}
        for prefix, folder in folders.items()
    ]
    return set.intersection(*found)  # `conditions/` has a folder at least


# Locks. They lie on files that are never replaced, so all processes lock the same file. They reach
# other machines where the file system has locks for that.


@contextmanager
def lock_manifest(run_dir: Path) -> Iterator[None]:
    """Let one process at a time into the block."""
    with open(run_dir / RECORD, "r+") as record:
        # Without locks in the file system a line could be doubled, until the manifest is written
        # whole again.
        with suppress(OSError):
            fcntl.flock(record, fcntl.LOCK_EX)
        yield


@contextmanager
def lock_images(run_dir: Path) -> Iterator[None]:
    """Keep `remove_half_written` away while images are written; any number of processes may."""
    with open(run_dir / STATE, "r+") as state:
        with suppress(OSError):
            fcntl.flock(state, fcntl.LOCK_SH)
        yield


def remove_half_written(run_dir: Path) -> None:
    """Remove the temporary files that killed processes left among the images.

    Nothing is removed while a process is inside `lock_images`, or without locks.
    """
    with open(run_dir / STATE, "r+") as state, suppress(OSError):
        # Does not wait: who writes now removes them at the end.
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in (IMAGES, MASKS, CONDITIONS):
            remove_leftovers(run_dir / folder)
