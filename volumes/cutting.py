"""Slices of a volume, in parts for training and testing, cut into tiles."""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

import numpy as np

from core.command_line.options import (
    OptionError,
    folder_name,
    fraction,
    non_negative_int,
    option,
    positive_int,
)

AXES = "zyx"
READ_TOGETHER = 8  # slices at least, which threads then write


def slice_range(text: str) -> str:
    """A range of slices, `100:200`; either end may be left out."""
    if not re.fullmatch(r"\d*:\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 100:200, 100: or :200")
    return text


def part_of_volume(text: str) -> str:
    """A part and its slices, `train=0.7` or `test=100:200`."""
    name, _, size = text.partition("=")
    folder_name(name)
    if ":" in size:
        slice_range(size)
    elif fraction(size) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} takes no slices")
    return text


@dataclass(frozen=True)
class CutOptions:
    """Slices that are taken, and tiles that they are cut into."""

    axis: str = option("z", help="slices lie across this axis", choices=tuple(AXES))
    range: str = option(":", slice_range, "A:B", "slices A to B-1; all when not given")
    step: int = option(1, positive_int, "INT", "take every INT-th slice")
    tile: int | None = option(
        None, positive_int, "PIXELS", "cut slices into squares of this side; the last ones of a "
        "row or column end at the border"
    )  # fmt: skip
    overlap: int = option(0, non_negative_int, "PIXELS", "of neighbouring tiles, at least")

    def check(self):
        """Raise OptionError for an overlap without tiles, or as large as they are."""
        if self.overlap and not self.overlap < (self.tile or 0):
            raise OptionError("overlap", f"{self.overlap} is not below `tile` {self.tile}")

    @property
    def number(self) -> int:
        """Number of the axis in (Z, Y, X)."""
        return AXES.index(self.axis)

    @property
    def sides(self) -> str:
        """Axes along the rows and columns' numbers of a slice: "yx" for slices across z."""
        return AXES.replace(self.axis, "")

    def chosen(self, length: int) -> range:
        """Numbers of the slices to take, of `length`; raises OptionError where there is none."""
        chosen = range(*_ends(self.range, length), self.step)
        if not chosen:
            raise OptionError("range", f"{self.range}: no slice of {length} is in it")
        return chosen


def _ends(text: str, length: int) -> tuple[int, int]:
    start, _, stop = text.partition(":")
    return int(start or 0), min(int(stop or length), length)


@dataclass(frozen=True)
class SplitOptions:
    """Parts of the volume for training, validation and testing."""

    split: tuple[str, ...] = option(
        (),
        part_of_volume,
        "NAME=SHARE",
        "blocks of slices, each into a folder of its own: train=0.7 val=0.15 test=0.15, or by "
        "numbers: train=0:200 val=220:240; neighbouring slices are nearly equal, so never split "
        "at random",
        nargs="+",
    )
    gap: int = option(
        10, non_negative_int, "INT", "slices left out between two blocks that are given by shares"
    )

    def check(self):
        """Raise OptionError where shares and numbers mix, names repeat, or shares exceed 1."""
        names = [word.partition("=")[0] for word in self.split]
        if len(set(names)) != len(names):
            raise OptionError("split", f"{' '.join(self.split)}: a name stands twice")
        if len({":" in word for word in self.split}) > 1:
            raise OptionError("split", "expected shares or ranges of all parts, not both")
        if self.split and ":" not in self.split[0] and sum(self._shares()) > 1 + 1e-9:
            raise OptionError("split", f"{' '.join(self.split)}: the shares exceed 1")

    def _shares(self) -> list[float]:
        return [float(word.partition("=")[2]) for word in self.split]

    def parts(self, chosen: range, length: int) -> dict[str, list[int]]:
        """Numbers of the slices of each part by its name; "" for all of them where none is named.

        Args:
            chosen: slices to take.
            length: of the volume along the axis.
        Raises:
            OptionError: a part has no slice, or two share one.
        """
        if not self.split:
            return {"": list(chosen)}
        names = [word.partition("=")[0] for word in self.split]
        if ":" in self.split[0]:
            blocks = [_ends(word.partition("=")[2], length) for word in self.split]
        else:
            blocks = self._blocks(chosen)
        for (_, end), (start, _) in pairwise(sorted(blocks)):
            if start < end:
                raise OptionError("split", f"slices {start} to {end - 1} are in two parts")
        parts = {
            name: [i for i in chosen if start <= i < stop]
            for name, (start, stop) in zip(names, blocks, strict=True)
        }
        for name, slices in parts.items():
            if not slices:
                raise OptionError("split", f"{name} would have no slice out of {len(chosen)}")
        return parts

    def _blocks(self, chosen: range) -> list[tuple[int, int]]:
        """First slice and the one behind the last, of parts that are given by shares."""
        gaps = self.gap * (len(self.split) - 1)
        shared = chosen[-1] + 1 - chosen[0] - gaps
        if shared < len(self.split):
            raise OptionError("gap", f"{self.gap}: nothing is left of {len(chosen)} slices")
        ends = [round(shared * total) for total in accumulate(self._shares())]
        starts = [chosen[0] + i * self.gap for i in range(len(ends))]
        return [(s + a, s + b) for s, (a, b) in zip(starts, pairwise([0, *ends]), strict=True)]


class Tile(NamedTuple):
    """Place of a tile in a slice: its first row and column, and its sides."""

    row: int
    column: int
    height: int
    width: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The tile of a slice (H, W)."""
        return pixels[self.row : self.row + self.height, self.column : self.column + self.width]


def tiles_of(height: int, width: int, options: CutOptions) -> list[Tile]:
    """The tiles of slices of a size; the whole slice where no tiles are asked for.

    Raises:
        OptionError: slices are smaller than a tile.
    """
    if options.tile is None:
        return [Tile(0, 0, height, width)]
    side = options.tile
    if side > min(height, width):
        raise OptionError("tile", f"{side}: slices have {width} x {height} pixels")
    rows, columns = (_starts(length, side, side - options.overlap) for length in (height, width))
    return [Tile(row, column, side, side) for row in rows for column in columns]


def _starts(length: int, side: int, stride: int) -> list[int]:
    """First pixels of tiles along a side of a slice, the last one at its end."""
    return [*range(0, length - side, stride), length - side]


def slabs(
    wanted: Sequence[int], chunk: int, slice_bytes: int, most_bytes: int
) -> Iterator[list[int]]:
    """Wanted slices in groups that are read at once.

    A group spans whole chunks, so that none is read twice; less where it would exceed the memory.

    Args:
        wanted: numbers of slices in order.
        chunk: slices that a file stores together.
        slice_bytes: size of a slice in memory.
        most_bytes: of a group, with slices between those that are wanted.
    """
    together = -(-READ_TOGETHER // chunk) * chunk  # whole chunks
    thickness = max(1, min(together, most_bytes // slice_bytes))
    for _, group in groupby(wanted, key=lambda i: i // thickness):
        yield list(group)
