"""Files and folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _let_others_read(temporary: Path, mode: int) -> None:
    """Give what `tempfile` made private the rights that a new file or folder has."""
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(mode & ~umask)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` when the block ends well and vanishes when it does not.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _let_others_read(temporary, 0o666)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, whose parents are made; it takes the name `path` when the block ends well, else it vanishes.

    Raises:
        OSError: nothing can be written there, or `path` exists and is not an empty folder.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        _let_others_read(temporary, 0o777)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | Path, content) -> None:
    """Write `content` as indented JSON to a file that is either whole or as it was before.

    Args:
        content: dictionaries and lists of plain values; anything else, such as a path or a device, is
            stored as its text.
    Raises:
        OSError: as `whole_file`.
    """
    text = json.dumps(content, indent=2, default=str)  # before the file: `content` may be at fault
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left of `whole_file` anywhere below `folder`; for when no process writes there."""
    for path in folder.rglob(".*.tmp.*"):
        path.unlink(missing_ok=True)


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise FileExistsError where something would be overwritten that should not be."""
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already. Give another name or --overwrite.")
