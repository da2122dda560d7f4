"""Pairs of files by their names: equal stems first, equal numbers second, never positions."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from core.notices import notify

IMAGES, MASKS = "images", "masks"  # folders of a set of pairs, whose files have equal names
MANIFEST = "manifest.jsonl"  # beside generated pairs: for each image, how it was made
LISTED = 5  # file names that an error message lists
FIRST_CHANNEL = "_0000"  # nnU-Net ends the names of its images so, but not those of their labels
# Words that tell an image from its condition. Any other word tells what a file shows, or in which
# part of the data it lies.
ROLES = set(
    "img image images im pic picture photo frame slice section raw em input source src orig "
    "original mask masks label labels lbl gt gtm ground truth groundtruth target seg segmentation "
    "annot annotation annotations class classes edge edges canny membrane hed mlsd depth normal "
    "map maps hint cond condition conditions rgba".split()
)
Keyed = Mapping[object, Path]


def stem_of(path: Path) -> str:
    """A file's name without suffix, in the composed form (NFC) that most systems store.

    macOS stores letters and their accents apart (NFD), which looks the same and compares unequal.
    """
    return unicodedata.normalize("NFC", path.stem)


def natural_order(path: Path) -> tuple:
    """Sort key that puts img_9 before img_10; equal stems are sorted by suffix."""
    # Texts and numbers by turns, a text first (perhaps empty), so like is compared with like
    parts = re.split(r"(\d+)", stem_of(path))
    # The name decides between img_1 and img_01, so the order does not depend on the file system.
    return [int(part) if part.isdecimal() else part for part in parts], path.name


def numbers_in(path: Path) -> tuple[int, ...]:
    """The numbers in a file's stem, in order: (1, 7) for `Dataset 1_img_7.png`."""
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


def varying_numbers(paths: Iterable[Path]) -> list[tuple[int, ...]] | None:
    """For each file, the numbers in which the names differ: (7,) for `z007_8nm.png` among others.

    None where names differ in other words too, or in nothing, as a single one does.
    """
    parts = [re.split(r"(\d+)", stem_of(path)) for path in paths]
    if len({tuple(words[::2]) for words in parts}) != 1:
        return None
    columns = zip(*(map(int, words[1::2]) for words in parts), strict=True)
    return list(zip(*(c for c in columns if len(set(c)) > 1), strict=True)) or None


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by stem.

    Raises:
        RuntimeError: two files share a stem.
    """
    found = {}
    for path in paths:
        if (other := found.setdefault(stem_of(path), path)) is not path:
            raise RuntimeError(f"{other} and {path} share a stem: keep one of them")
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


def _keyings(left: Sequence[Path], right: Sequence[Path]) -> Iterator[tuple[Keyed, Keyed]]:
    """Both sides' files by what may pair them, the surest rule first; see `match_names`.

    Raises:
        RuntimeError: two files of one side share a stem.
    """
    stems = by_stem(left), by_stem(right)
    yield stems
    first_channels = [all(stem.endswith(FIRST_CHANNEL) for stem in side) for side in stems]
    if any(first_channels):
        yield tuple(
            {stem.removesuffix(FIRST_CHANNEL): path for stem, path in side.items()} if cut else side
            for side, cut in zip(stems, first_channels, strict=True)
        )
    numbered = by_numbers(left), by_numbers(right)
    # Numbers only help where they tell all files of both sides apart.
    if None not in numbered:
        yield numbered


def _check_letters(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Show a pair that numbers made; refuse one whose letters speak against it.

    Each of its names then has a word in place of a word of the other one, such as WT and KO, beside
    words that tell images from conditions.

    Raises:
        RuntimeError: the letters of a pair contradict each other.
    """
    for pair in pairs:
        ours, theirs = (set(re.findall(r"[^\W\d_]+", stem_of(path).casefold())) for path in pair)
        if (ours - theirs - ROLES) and (theirs - ours - ROLES):
            raise RuntimeError(
                f"{pair[0]} and {pair[1]} hold the same numbers, but other words. If they belong "
                "together, give both the same stem; if not, name the right folders"
            )
    if pairs:
        first, second = (path.name for path in pairs[0])
        notify(f"files are paired by the numbers in their names, for example {first} with {second}")


def match_names(left: Sequence[Path], right: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair files by identical stem, else by the numbers in their names.

    One rule is chosen for all files, and positions in a list never count. Stems are also equal
    where all files of one side carry nnU-Net's `_0000`. The published data name an image `Dataset
    1_img_7.png` and its mask `Dataset 1_GTM_img_7.png`: both hold the numbers (1, 7).

    Args:
        left, right: images and their conditions; at least one of each.
    Returns:
        (left, right) in natural order of the left names.
    Raises:
        RuntimeError: a file has no partner, two files of one side share a stem, or numbers pair
            names whose letters contradict each other (`WT_1` and `KO_1`).
    """
    keyings = list(_keyings(left, right))
    for ours, theirs in keyings:
        if ours.keys() == theirs.keys():
            found = [(ours[key], theirs[key]) for key in ours]
            found = sorted(found, key=lambda pair: natural_order(pair[0]))
            if _are_numbers(ours):
                _check_letters(found)
            return found
    # All rules fail: the one with the fewest unpaired files tells most about the mistake
    ours, theirs = min(keyings, key=lambda keying: len(keying[0].keys() ^ keying[1].keys()))
    raise RuntimeError(
        f"{left[0].parent} and {right[0].parent} do not pair one to one: "
        f"{list_names([ours[key] for key in ours.keys() - theirs.keys()])} without a condition, "
        f"{list_names([theirs[key] for key in theirs.keys() - ours.keys()])} without an image. "
        "Give both files of a pair the same stem, or the same numbers in the same order"
    )


def find_partners(leaders: Sequence[Path], others: Sequence[Path]) -> dict[Path, Path]:
    """Map leaders to the files among `others` that belong to them; not all need have one.

    The rules are those of `match_names`; the first by which any leader finds a partner decides.

    Raises:
        RuntimeError: two files of one side share a stem, or letters contradict numbers.
    """
    for ours, theirs in _keyings(leaders, others):
        found = {path: theirs[key] for key, path in ours.items() if key in theirs}
        if found:
            if _are_numbers(ours):
                _check_letters(list(found.items()))
            return found
    return {}


def _are_numbers(keyed: Keyed) -> bool:
    """Tell whether files are keyed by numbers, not by stems."""
    return isinstance(next(iter(keyed)), tuple)
