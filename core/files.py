"""Files and folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, to be written in the block.

    When the block ends well, the temporary file takes the name `path`, in one step. When the block
    raises, the temporary file is deleted.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    path = Path(path)
    # In the same folder: a rename is one step only within a file system. The suffix stays last,
    # because writers choose the format by it. The dot hides the file from `list_images`.
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=path.parent
    )
    os.close(handle)  # the block opens the path itself
    temporary = Path(name)
    try:
        yield temporary
        _let_others_read(temporary, 0o666)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # after the rename there is none


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, to be filled in the block.

    When the block ends well, the temporary folder takes the name `path`. When the block raises, it
    is deleted with its content. Missing parents of `path` are made.

    Raises:
        OSError: nothing can be written there, or `path` exists and is not an empty folder.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        _let_others_read(temporary, 0o777)
        os.rename(temporary, path)  # replaces an empty folder, refuses any other
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new_folder(path: Path) -> None:
    """Check that `whole_folder` can make a folder there, without making anything.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
        OSError: nothing can be written there.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path}: exists and is not an empty folder. Name a new one.")
    # The nearest folder that exists decides whether the others can be made.
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"{path}: nothing can be written to {parent}. Name another place.")


def _let_others_read(temporary: Path, mode: int) -> None:
    """Give what `tempfile` made for its owner alone the rights of a new file or folder."""
    umask = os.umask(0)  # the only way to read it is to set it
    os.umask(umask)
    temporary.chmod(mode & ~umask)


def write_json(path: str | Path, content) -> None:
    """Write `content` as indented JSON to a file that is either whole or as it was before.

    Args:
        content: dictionaries and lists of plain values; anything else, such as a path or a device,
            is stored as its text.
    Raises:
        OSError: as `whole_file`.
    """
    text = json.dumps(content, indent=2, default=str)  # before the file: `content` may be at fault
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n")


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that killed processes left below `folder`.

    Call it only while no process writes there: a file in the making looks the same.
    """
    for path in folder.rglob(".*.tmp.*"):
        path.unlink(missing_ok=True)


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Check that nothing is overwritten by accident.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
    """
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already. Give another name, or ask to overwrite it.")
