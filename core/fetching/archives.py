"""Zip archives of others, unpacked without trusting them."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from core.files import BLOCK, whole_folder

MAX_FILES = 10**6
# Weights and pictures hardly shrink. A bomb of a few kilobytes becomes terabytes.
MAX_GROWTH = 100
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def check_zip(path: Path) -> None:
    """Check that a file is a zip archive that can be unpacked safely; only its index is read.

    Raises:
        ValueError: it is none, or an entry leads out of the folder, is a link or encrypted, comes
            twice, or all of them are far larger than the archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except ARCHIVE_ERRORS as error:
        raise ValueError(f"{path}: is no zip archive, or damaged ({error})") from error
    if len(entries) > MAX_FILES:
        raise ValueError(f"{path}: refused, {len(entries):,} entries")
    size = sum(entry.file_size for entry in entries)
    if size > MAX_GROWTH * path.stat().st_size:
        raise ValueError(f"{path}: refused, it would grow to {size:,} bytes")
    seen = set()
    for entry in entries:
        if flaw := _flaw_of(entry, seen):
            raise ValueError(f"{path}: refused, {entry.filename!r} {flaw}")


def _flaw_of(entry: zipfile.ZipInfo, seen: set) -> str | None:
    """The fault of an entry, or None; its name is added to `seen`."""
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or ":" in name.parts[0]:
        return "leads out of the folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archive was made elsewhere
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & 1:
        return "is encrypted"
    if name in seen:
        return "comes twice"
    seen.add(name)
    return None


def unpack(path: Path, folder: Path) -> list[Path]:
    """Unpack a zip archive into a new folder, whole or not at all.

    Every file is compared with its checksum. None becomes executable.

    Returns:
        The files, relative to `folder`.
    Raises:
        ValueError: as `check_zip`, or a file is damaged.
        OSError: `folder` exists and is not empty, or cannot be written.
    """
    check_zip(path)
    with whole_folder(folder) as temporary, zipfile.ZipFile(path) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        total = sum(entry.file_size for entry in files)
        with tqdm(total=total, desc=f"unpack {path.name}", unit="B", unit_scale=True) as bar:
            for entry in files:
                target = temporary / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    # `open` ends at the size that the index states, whatever the data would give.
                    with archive.open(entry) as source, open(target, "xb") as file:
                        shutil.copyfileobj(source, file, BLOCK)
                except ARCHIVE_ERRORS as error:
                    raise ValueError(f"{path}: {entry.filename} is damaged ({error})") from error
                bar.update(entry.file_size)
    return [Path(entry.filename) for entry in files]
