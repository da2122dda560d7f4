"""Files with equal content, whatever they are called."""

import filecmp
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

BEGINNING = 2**16  # bytes; pictures of one size differ within them


def equal_files(left: Iterable[Path], right: Iterable[Path]) -> list[tuple[Path, Path]]:
    """(left, right) of the left files whose content a right file has too.

    Only files whose sizes and first bytes are equal are read to the end.
    """
    by_size = defaultdict(list)
    for path in right:
        by_size[path.stat().st_size].append(path)
    left = [path for path in left if path.stat().st_size in by_size]
    by_beginning = defaultdict(list)
    for size in {path.stat().st_size for path in left}:
        for path in by_size[size]:
            by_beginning[_beginning(path)].append(path)
    found = []
    for path in left:
        candidates = by_beginning.get(_beginning(path), ())
        equal = (p for p in candidates if filecmp.cmp(path, p, shallow=False))
        if (other := next(equal, None)) is not None:
            found.append((path, other))
    return found


def _beginning(path: Path) -> tuple[int, bytes]:
    """Size, and checksum of the first bytes, of a file."""
    with open(path, "rb") as file:
        return path.stat().st_size, hashlib.sha256(file.read(BEGINNING)).digest()
