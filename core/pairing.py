"""Pairs of files by their names: equal stems first, equal numbers second, never positions."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

LISTED = 5  # file names that an error message lists


def natural_order(path: Path) -> tuple:
    """Sort key that puts img_9 before img_10; equal stems are sorted by suffix."""
    # Texts and numbers by turns, a text first (perhaps empty), so like is compared with like
    parts = re.split(r"(\d+)", path.stem)
    # The name decides between img_1 and img_01, so the order does not depend on the file system.
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def numbers_in(path: Path) -> tuple[int, ...]:
    """The numbers in a file's stem, in order: (1, 7) for `Dataset 1_img_7.png`."""
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by stem.

    Raises:
        RuntimeError: two files share a stem.
    """
    found = {}
    for path in paths:
        if path.stem in found:
            raise RuntimeError(f"{found[path.stem]} and {path} share a stem: keep one of them")
        found[path.stem] = path
    return found


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Files of different stems, sorted so that img_9 precedes img_10; raises like `by_stem`."""
    return sorted(by_stem(paths).values(), key=natural_order)


def by_numbers(paths: Sequence[Path]) -> dict[tuple[int, ...], Path] | None:
    """Files by the numbers in their stems; None where two files share theirs or one has none."""
    found = {numbers_in(path): path for path in paths}
    # Fewer entries than files: two share their numbers. An empty key: a file without a number.
    return found if len(found) == len(paths) and () not in found else None


def list_names(paths: Sequence[Path]) -> str:
    """Number and first names of files, for a message."""
    names = [path.name for path in sorted(paths, key=natural_order)]
    if not names:
        return "0 file(s)"
    dots = ", ..." if len(names) > LISTED else ""
    return f"{len(names)} file(s) ({', '.join(names[:LISTED])}{dots})"


def match_names(left: Sequence[Path], right: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair files by identical stem, else by the numbers in their names.

    One rule is chosen for all files, and positions in a list never count. The published data name
    an image `Dataset 1_img_7.png` and its mask `Dataset 1_GTM_img_7.png`: both hold the numbers
    (1, 7).

    Args:
        left, right: images and their conditions; at least one of each.
    Returns:
        (left, right) in natural order of the left names.
    Raises:
        RuntimeError: a file has no partner, or two files of one side share a stem.
    """
    keyings = [(by_stem(left), by_stem(right))]
    numbered = by_numbers(left), by_numbers(right)
    # Numbers only help where they tell all files of both sides apart.
    if None not in numbered:
        keyings.append(numbered)
    for ours, theirs in keyings:
        if ours.keys() == theirs.keys():
            found = [(ours[key], theirs[key]) for key in ours]
            return sorted(found, key=lambda pair: natural_order(pair[0]))
    # Both rules fail: the one with fewer unpaired files tells more about the mistake
    ours, theirs = min(keyings, key=lambda keying: len(keying[0].keys() ^ keying[1].keys()))
    raise RuntimeError(
        f"{left[0].parent} and {right[0].parent} do not pair one to one: "
        f"{list_names([ours[key] for key in ours.keys() - theirs.keys()])} without a condition, "
        f"{list_names([theirs[key] for key in theirs.keys() - ours.keys()])} without an image. "
        "Give both files of a pair the same stem, or the same numbers in the same order"
    )


def find_partners(leaders: Sequence[Path], others: Sequence[Path]) -> dict[Path, Path]:
    """Map leaders to the files among `others` that belong to them; not all need have one.

    Equal stems decide. Numbers decide only where no stem at all is equal.

    Raises:
        RuntimeError: two files of one side share a stem.
    """
    theirs = by_stem(others)
    found = {path: theirs[stem] for stem, path in by_stem(leaders).items() if stem in theirs}
    numbered = by_numbers(others)
    if found or numbered is None or by_numbers(leaders) is None:
        return found
    return {path: numbered[numbers_in(path)] for path in leaders if numbers_in(path) in numbered}
