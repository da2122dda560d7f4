"""The split of labelled pairs into training, validation and test: by slices or by animals."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import pydantic

from conditions.pairs import Pair
from core.imaging.pairing import stem_of
from core.notices import notify

PARTS = ("train", "val", "test")
Place = pydantic.StrictInt | str  # 1e3 and `yes` are neither in YAML
RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")
# Corner or quadrant of a crop at the end of its name, as _y0512_x0000 or _q2
PLACE_IN_PICTURE = re.compile(
    r"(^|[_. -])([xyz]\d+[_. -][xyz]\d+|q(uad(rant)?)?[_. -]?[0-4])$", re.IGNORECASE
)


class SplitConfig(pydantic.BaseModel):
    """Places of each part.

    Attributes:
        pattern: regular expression; its first parentheses match the place in the name of an image:
            the number of a slice, or the name of an animal.
        train, val, test: places, and ranges of slices such as "0-12".
        gap: slices of different parts that lie this close or closer are warned of, and parts that
            lie between each other; 0 for animals, whose numbers say nothing.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    pattern: str
    train: list[Place]
    val: list[Place]
    test: list[Place]
    gap: pydantic.NonNegativeInt = 1

    @pydantic.field_validator("pattern")
    @classmethod
    def _has_parentheses(cls, pattern):
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
        if compiled.groups < 1:
            raise ValueError(f"{pattern!r} has no parentheses around the place")
        return pattern


def place_of(pair: Pair, pattern: str) -> Place:
    """Place of a pair: a whole number where the text is one.

    Raises:
        ValueError: the image's name does not match.
    """
    found = re.search(pattern, stem_of(pair.image))
    if found is None or found[1] is None:
        raise ValueError(f"split: pattern {pattern!r} does not match {pair.image.name}")
    return _as_place(found[1])


def split_pairs(pairs: Sequence[Pair], config: SplitConfig) -> dict[str, list[Pair]]:
    """The pairs of each of `PARTS`, in their order; pairs of no part are left out.

    Warns of slices of different parts that are neighbours, and of crops of one picture.

    Raises:
        ValueError: a name without a place, a place in two parts, an entry or a part without pairs.
    """
    known = {place_of(pair, config.pattern) for pair in pairs}
    parts = {}
    for part in PARTS:
        entries = {entry: _expand(entry) for entry in getattr(config, part)}
        for entry, places in entries.items():
            if not places & known:
                raise ValueError(_no_image(f"{part} names {entry}, which holds no image", known))
        parts[part] = set().union(*entries.values())
        if not parts[part]:
            raise ValueError(_no_image(f"{part} names no place", known))
    _refuse_shared(parts)
    found = {part: [] for part in PARTS}
    for pair in pairs:
        place = place_of(pair, config.pattern)
        for part in PARTS:
            if place in parts[part]:
                found[part].append(pair)
    _warn_of_neighbours(found, config)
    _warn_of_crops(found)
    return found


def spread(pairs: Sequence[Pair], number: int) -> list[Pair]:
    """`number` of the pairs, evenly spread over their order."""
    step = len(pairs) / number
    return [pairs[int((i + 0.5) * step)] for i in range(number)]


def _as_place(text: str) -> Place:
    return int(text) if text.isdecimal() else text


def _expand(entry: Place) -> set[Place]:
    """Places that an entry stands for; a range is written out."""
    if isinstance(entry, str) and (found := RANGE.fullmatch(entry)):
        return set(range(int(found[1]), int(found[2]) + 1))
    return {_as_place(entry) if isinstance(entry, str) else entry}


def _no_image(what: str, known: Iterable[Place]) -> str:
    """Message about a part, with some of the places that images have."""
    some = ", ".join(sorted(map(str, known))[:20])
    return f'split: {what}. The images are of: {some}. Write a range of slices as "0-9"'


def _refuse_shared(parts: Mapping[str, set[Place]]) -> None:
    for i, first in enumerate(PARTS):
        for second in PARTS[i + 1 :]:
            if shared := parts[first] & parts[second]:
                example = sorted(map(str, shared))[0]
                raise ValueError(f"split: {example} stands in {first} and in {second}")


def _interleave(first: set[int], second: set[int]) -> bool:
    """Tell whether two sets of slices are more than two blocks, one behind the other."""
    in_first = [place in first for place in sorted(first | second)]
    return sum(a != b for a, b in pairwise(in_first)) > 1


def _warn_of_neighbours(found: Mapping[str, Sequence[Pair]], config: SplitConfig) -> None:
    """Warn where slices of two parts are at most `gap` apart or interleave: they look alike."""
    numbers = {
        part: {
            place
            for pair in found[part]
            if isinstance(place := place_of(pair, config.pattern), int)
        }
        for part in PARTS
    }
    for i, first in enumerate(PARTS):
        for second in PARTS[i + 1 :]:
            distances = {(abs(a - b), a, b) for a in numbers[first] for b in numbers[second]}
            if not distances:
                continue
            distance, a, b = min(distances)
            if distance <= config.gap:
                notify(
                    f"split: {first} holds {a} and {second} holds {b}, which are neighbours. If "
                    "these are slices of one volume, leave a gap: the scores flatter"
                )
            elif config.gap and _interleave(numbers[first], numbers[second]):
                notify(
                    f"split: slices of {first} and {second} lie between each other. If they are of "
                    "one volume, give each part one block: the scores flatter. If these are "
                    "animals, write gap: 0"
                )


def _pictures(pairs: Iterable[Pair]) -> set[str]:
    """The pictures that images are crops of: their names without the place of the crop."""
    names = {pair.image: stem_of(pair.image) for pair in pairs}
    # Where nothing else stands in the name, the folder names the picture.
    return {
        PLACE_IN_PICTURE.sub("", name) or str(image.parent)
        for image, name in names.items()
        if PLACE_IN_PICTURE.search(name)
    }


def _warn_of_crops(found: Mapping[str, Sequence[Pair]]) -> None:
    """Warn where two parts hold crops of one picture, by the names: crops may touch or overlap."""
    for first, second in combinations(PARTS, 2):
        if shared := sorted(_pictures(found[first]) & _pictures(found[second])):
            notify(
                f"split: {first} and {second} hold crops of one picture, {shared[0]}. These look "
                "alike, even where they do not touch: the scores flatter. Split by pictures or "
                "animals where you can"
            )
