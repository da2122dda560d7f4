"""Checks of many files: a progress bar where it takes long, and one error for all problems."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from core.imaging.image_files import check_whole, decode, format_of
from core.refusals import same_kind

BAR_FROM = 200  # items: fewer are checked before a bar could be read
MAX_THREADS = 8  # more neither decode nor write pictures faster
Item = TypeVar("Item")


def bar_for_many(items: Iterable, total: int | None = None, desc: str = "checking files") -> tqdm:
    """The same items, behind a progress bar if there are many; the bar vanishes at the end.

    Args:
        total: number of items; their length when not given.
    """
    total = len(items) if total is None else total
    return tqdm(items, desc=desc, total=total, disable=total <= BAR_FROM, leave=False)


def raise_first(problems: Sequence[Exception]) -> None:
    """Raise the first problem, if there is any, with the number of further ones."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise same_kind(problems[0], f"{problems[0]}{more}") from problems[0]


def find_flaws(
    items: Iterable[Item], flaw_of: Callable[[Item], str | None], desc: str
) -> dict[Item, str]:
    """Flaws of the items that have one, in order; behind a progress bar if there are many.

    Args:
        flaw_of: what is wrong with an item, None for a sound one; called in several threads.
    """
    items = list(items)
    # Threads: decoding releases the interpreter's lock, and processes would import torch anew.
    with ThreadPoolExecutor(min(MAX_THREADS, len(os.sched_getaffinity(0)))) as pool:
        flaws = bar_for_many(pool.map(flaw_of, items), len(items), desc)
        return {item: flaw for item, flaw in zip(items, flaws, strict=True) if flaw}


def picture_flaw(
    path: Path, size: tuple[int, int] | None = None, colours: str | None = None
) -> str | None:
    """Flaw of a picture that `core.imaging.images.write_png` wrote; None where there is none.

    Args:
        size: (height, width) that is expected.
        colours: "grey" or "RGB", if only one of them is expected.
    Raises:
        ValueError: the name belongs to a folder, a pipe or a device, which nothing may replace.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: expected a picture, found no regular file. Move it away.")
    try:
        header, name = decode(path).header, format_of(path)
        check_whole(path, header)  # Pillow decodes a PNG that lacks its last bytes
    except FileNotFoundError:
        return f"{path}: not there"
    except ValueError as error:
        return str(error)
    found = header.colours, header.samples, header.bits, name
    expected = [("grey", 1, 8, "PNG"), ("RGB", 3, 8, "PNG")]
    if found not in expected or colours not in (None, header.colours):
        return f"{path}: {' '.join(map(str, found))}, expected 8-bit {colours or 'grey or RGB'} PNG"
    if size not in (None, header.size):
        return f"{path}: {header.size} pixels (height, width), expected {size}"
    return None
