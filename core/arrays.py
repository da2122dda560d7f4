"""Archives of arrays (.npz) from anywhere: no code is run, and no small file fills the memory."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.files import require_file

# What numpy and zipfile raise for damaged archives. MemoryError comes from headers that lie.
ARCHIVE_ERRORS = (
    OSError, ValueError, RuntimeError, LookupError, EOFError, TypeError, AttributeError,
    ArithmeticError, MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_arrays(path: Path, names: Sequence[str], most_bytes: int) -> dict[str, np.ndarray]:
    """Arrays of an archive by name; those that it lacks are left out.

    Args:
        most_bytes: of one array in memory, as float32 where its numbers are smaller.
    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, pickled (never loaded) or too large; the message lacks the path.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            # `numpy.savez` adds the suffix, other programs may not
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {
                name: _read_member(archive, members[name], most_bytes)
                for name in names
                if name in members
            }
    except ARCHIVE_ERRORS as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _read_member(archive, info, most_bytes) -> np.ndarray:
    """One array; its header is compared with the bytes behind it before memory is taken."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
    size = math.prod(shape) * dtype.itemsize
    if size > info.file_size:
        raise ValueError(f"{shape} {dtype} out of {info.file_size} bytes")
    needed = math.prod(shape) * max(dtype.itemsize, np.dtype(np.float32).itemsize)
    if needed > most_bytes:
        raise ValueError(f"{needed:,} bytes, expected at most {most_bytes:,}")
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
