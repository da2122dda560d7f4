"""Files and folders that are written whole or not at all."""

import errno
import glob
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

# What a disk reports without saying for which file: full, over the quota, file too large, broken.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
BLOCK = 2**20  # bytes that are read at once
ABANDONED = 24 * 3600  # seconds after which nobody works on a temporary folder any more


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, to be written in the block.

    When the block ends well, the temporary file takes the name `path`, in one step. When the block
    raises, the temporary file is deleted. The content is on the disk before the name is, so a
    computer that loses power leaves the old file or the new one. Missing parents are made.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then as it was before.
    """
    path = Path(path)
    temporary = _beside(path, path.suffix)
    with _errors_name(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here and not by `tempfile`, whose files none but their owner may read.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, 0o666))
        mode = temporary.stat().st_mode
        try:
            yield temporary
            # Some libraries, safetensors for one, have put a file of their own in its place.
            temporary.chmod(mode)
            _to_disk(temporary)
            os.replace(temporary, path)
            _to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)  # after the rename there is none


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, to be filled in the block.

    When the block ends well, the temporary folder takes the name `path`. When the block raises, it
    is deleted with its content. Missing parents of `path` are made. What a killed process left of
    the same folder goes after a day. Of a link to an empty folder, the folder is replaced.

    Raises:
        OSError: nothing can be written there, or `path` exists and is not an empty folder.
        FileNotFoundError: `path` is a link to nothing, or lies below one.
    """
    path = Path(path).absolute()
    _refuse_dangling(path)
    if path.is_symlink():  # over the link itself no folder can be renamed
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{glob.escape(path.stem)}.*.tmp"):
        with suppress(FileNotFoundError):  # another process removes it as well
            if time.time() - old.stat().st_mtime > ABANDONED:
                _remove(old)
    temporary = _beside(path)
    with _errors_name(path, temporary):
        temporary.mkdir()
        try:
            yield temporary
            os.rename(temporary, path)  # replaces an empty folder, refuses any other
            _to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_file(path: Path) -> None:
    """Check that a path is that of a file, not of a folder, a pipe or a device.

    Raises:
        FileNotFoundError, ValueError: nothing is there, or something else.
    """
    # Asked before it is opened: a pipe would wait for a writer, and a device may have no end.
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a file, found something else. Move it away.")
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there")


class FileState(NamedTuple):
    """Numbers that tell that a file has changed, without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    def same_file(self, other: "FileState") -> bool:
        """Tell a file that was written to from another one that took its name."""
        return (self.device, self.inode) == (other.device, other.inode)


def state_of(path: Path) -> FileState | None:
    """The state of a file; None where it is gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return FileState(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def check_new_folder(path: Path) -> None:
    """Check that `whole_folder` can make a folder there, without making anything.

    Raises:
        FileExistsError: `path` exists and is not an empty folder.
        FileNotFoundError: `path` is a link to nothing, or lies below one.
        OSError: nothing can be written there.
    """
    _refuse_dangling(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path}: exists and is not an empty folder. Name a new one.")
    parent = _nearest_parent(path.resolve() if path.is_symlink() else path)
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(f"{path}: nothing can be written to {parent}. Name another place.")


def check_writable(path: Path, option: str = "") -> None:
    """Try to write where `path` is to stand, before anything slow happens; nothing is left.

    Args:
        option: that names the path, for the message.

    Raises:
        OSError: it cannot be written; the message begins with `option` and path.
    """
    try:
        # Rights alone do not tell: disks get full.
        with tempfile.TemporaryFile(dir=_nearest_parent(path)):
            pass
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
    except OSError as error:
        name = f"{option} {path}".lstrip()
        raise OSError(f"{name}: cannot be written ({error}). Name another place.") from error


def _refuse_dangling(path: Path) -> None:
    """Raise FileNotFoundError where a path, or a folder above it, is a link to nothing."""
    # It does not exist, and nothing else can be made in its place.
    for place in (path, *path.absolute().parents):
        if place.is_symlink() and not place.exists():
            raise FileNotFoundError(
                f"{place}: a link to {os.readlink(place)}, which is not there. Remove the link, or "
                "name another place."
            )


def _nearest_parent(path: Path) -> Path:
    """The nearest parent that exists: it decides whether the folders below can be made."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def _beside(path: Path, suffix: str = "") -> Path:
    """A name that no other process takes, in the folder of `path`.

    In the same folder, as a rename is one step only within a file system. The suffix stays last,
    because writers choose the format by it. The dot hides the file from `list_images`.
    """
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{suffix}")


@contextmanager
def _errors_name(path: Path, temporary: Path) -> Iterator[None]:
    """Put `path` into errors of the disk that name the temporary path, or none."""
    try:
        yield
    except OSError as error:
        of_disk = error.filename is None and error.errno in DISK_ERRORS
        if of_disk or error.filename in (temporary, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _to_disk(path: Path) -> None:
    """Wait until the content of a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise
        # Else the file system has no such function, as some have none for folders.
    finally:
        os.close(handle)


def write_json(path: str | Path, content) -> None:
    """Write `content` as indented JSON to a file that is either whole or as it was before.

    Args:
        content: dictionaries and lists of plain values; anything else, such as a path or a device,
            is stored as its text. NaN and infinity become null: JSON has neither.
    Raises:
        OSError: as `whole_file`.
    """
    plain = json.loads(json.dumps(content, default=str), parse_constant=lambda _: None)
    text = json.dumps(plain, indent=2)  # before the file: `content` may be at fault
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n")


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files and folders that killed processes left below `folder`.

    Call it only while no process writes there: a file in the making looks the same.
    """
    for path in [*folder.rglob(".*.tmp.*"), *folder.rglob(".*.tmp")]:
        _remove(path)


def _remove(path: Path) -> None:
    """Delete a file, or a folder with its content, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Check that nothing is overwritten by accident.

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
        FileNotFoundError: `path` is a link to nothing, or lies below one.
    """
    _refuse_dangling(Path(path))
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already. Give another name, or ask to overwrite it.")


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
