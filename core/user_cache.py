"""Results that a later call may use again, in the cache folder of the user."""

import hashlib
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from core.files import sha256_of, whole_file

SMALLEST = 2**26  # bytes; the checksum of a smaller file takes a fraction of a second
# Seconds after its last change from which a file counts as finished: the clocks of file systems are
# coarse, and what is written within one tick would leave the times as they are.
SETTLED = 3.0


def user_cache(name: str) -> Path:
    """Folder for one kind of results, below `$XDG_CACHE_HOME` or `~/.cache`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "natural2nanoscale" / name


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, which is read again only where it may have changed.

    A large file keeps its checksum while path, device, inode, size and both times stay the same.
    Writing changes the inode's time even where the content's time was set back.

    Raises:
        OSError: as `open`.
    """
    before = _state(path)
    if path.stat().st_size < SMALLEST:
        return sha256_of(path)
    entry = user_cache("sha256") / hashlib.sha256(repr(before).encode()).hexdigest()
    with suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{64}", digest := entry.read_text()):
            return digest
    digest = sha256_of(path)
    stat = path.stat()
    settled = time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED
    if settled and _state(path) == before:
        with suppress(OSError):  # no place to remember it: the next call reads the file again
            with whole_file(entry) as temporary:
                temporary.write_text(digest)
    return digest


def _state(path: Path) -> tuple:
    """Facts that change with the content of a file."""
    stat = path.stat()
    times = stat.st_mtime_ns, stat.st_ctime_ns
    return str(path.resolve()), stat.st_dev, stat.st_ino, stat.st_size, *times
