"""The folder of a generation, into which several processes may write at once.

An image counts as made when its file in `images/` is there; that file is renamed into place last.
Everything else, the manifest included, follows from the plan and from the images that are there.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.files import check_new_folder, remove_leftovers, require_file
from core.imaging.pairing import IMAGES, MASKS
from core.recording.records import RECORD, STATE
from generation.names import CONDITIONS, IMAGE_PREFIX, image_name


def check_run_folder(run_dir: Path) -> None:
    """Check that a run is there or can be made, before anything slow happens.

    Raises:
        FileExistsError: there is something else.
        OSError: nothing can be written there.
    """
    if (run_dir / RECORD).is_file():
        return
    if run_dir.is_dir() and any(run_dir.iterdir()):
        raise FileExistsError(
            f"{run_dir}: holds files but no {RECORD}, so it is no run. "
            "Move it away, or name another run."
        )
    check_new_folder(run_dir)


def require_own_names(run_dir: Path, folders: Iterable[str], files: Iterable[str]) -> None:
    """Raise ValueError where something else has the name of one of these folders or files."""
    for path in (run_dir / folder for folder in folders):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: expected a folder. Move it away.")
    for path in (run_dir / file for file in files):
        if path.exists():
            require_file(path)


def finished_images(run_dir: Path) -> set[str]:
    """Names of the images that are there."""
    if not (run_dir / IMAGES).exists():
        return set()
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
    return set.intersection(*found) if found else set()


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
    """Remove the temporary files that killed processes left in the folder.

    Nothing is removed while a process is inside `lock_images`, or without locks.
    """
    with open(run_dir / STATE, "r+") as state, suppress(OSError):
        # Does not wait: who writes now removes them at the end.
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_leftovers(run_dir)
