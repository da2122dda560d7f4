"""A volume as all readers offer it, and the options that choose one out of a file."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.command_line.options import OptionError, non_negative_int, option
from core.imaging.pixel_size import UNKNOWN, Voxel
from volumes.axes import Box

REQUIREMENTS = "req-volumes.txt"


def axis_index(text: str) -> str:
    """A place on an axis, `c=0`."""
    name, equals, index = text.partition("=")
    if len(name) != 1 or not name.isalpha() or not equals or not index.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no place on an axis such as c=0")
    return f"{name.lower()}={int(index)}"


@dataclass(frozen=True)
class ArrayOptions:
    """A place in a file that holds more than one volume."""

    dataset: str | None = option(
        None,
        None,
        "NAME",
        "data set of an HDF5 file, path below a Zarr or N5 folder, or number of a TIFF series; may "
        "be left out where there is one",
    )
    level: int = option(
        0, non_negative_int, "INT", "level of a pyramid (OME-Zarr, N5, OME-TIFF); 0 is the finest"
    )
    at: tuple[str, ...] = option(
        (), axis_index, "AXIS=INT", "place on axes beside z, y and x, such as c=0 t=3", nargs="+"
    )

    @property
    def places(self) -> dict[str, int]:
        """Index by letter of the axis."""
        return {word[0]: int(word[2:]) for word in self.at}


class Volume(ABC):
    """An array (Z, Y, X) of which parts are read.

    Attributes:
        source: file and data set, for messages.
        format: name of the file's format.
        shape: (Z, Y, X).
        dtype: of the voxels.
        chunks: (Z, Y, X) of the smallest part that is read at no extra cost.
        voxel: size of a voxel in nm.
        lossy: compressed as JPEG, at least in part, so voxels are not those that were saved.
        min_is_white: the smallest number is white (TIFF).
        has_palettes: the numbers are rows of colour tables, so they may be labels, but no greys.
        bits: of a grey level, where fewer are used than the type has; several where they differ.
        numbers: those in which the names of slice files differ; None where names tell none.
    """

    source: str
    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype
    chunks: tuple[int, int, int]
    voxel: Voxel = UNKNOWN
    lossy: bool = False
    min_is_white: bool = False
    has_palettes: bool = False
    bits: frozenset[int] = frozenset()
    numbers: list[tuple[int, ...]] | None = None

    @abstractmethod
    def read(self, box: Box) -> np.ndarray:
        """The voxels of a box, (Z, Y, X), as stored.

        Raises:
            ValueError: the file is damaged there; names it.
        """

    def slices(self, axis: int, start: int, stop: int) -> np.ndarray:
        """Slices `start` to `stop` across an axis, (N, rows, columns); raises as `read`."""
        box = [slice(0, size) for size in self.shape]
        box[axis] = slice(start, stop)
        return np.moveaxis(self.read(tuple(box)), axis, 0)  # (N, rows, columns)


class Format(NamedTuple):
    """A kind of file that holds volumes.

    Attributes:
        name: for people.
        recognises: function that tells the kind from the path, by content where it can.
        open: function from path and `ArrayOptions` to a `Volume`. It raises ValueError for a file
            that is damaged or needs other options, RuntimeError for a missing package.
        reads_options: fields of `ArrayOptions` that `open` reads; the others are refused.
    """

    name: str
    recognises: Callable[[Path], bool]
    open: Callable[[Path, ArrayOptions], Volume]
    reads_options: tuple[str, ...] = ()

    def check(self, path: Path, options: ArrayOptions) -> None:
        """Raise OptionError for an option that this format does not read."""
        for name, value in vars(options).items():
            if value and name not in self.reads_options:
                raise OptionError(name, f"{path}: {self.name} does not read it")


def check_level(level: int, count: int, source: Path) -> None:
    """Raise OptionError where a pyramid of `count` levels lacks the one that is asked for."""
    if level >= count:
        raise OptionError("level", f"{level}: {source} has {count} level(s), counted from 0")


def choose_one(
    found: Mapping[str, object], wanted: str | None, source: Path, what: str = "data set"
) -> str:
    """The name of the data set to read.

    Args:
        found: data sets by name.
        wanted: the name that was asked for; None where there should be a single one.
    Raises:
        ValueError: there is none at all.
        OptionError: there is none of that name, or several and none is asked for; lists them.
    """
    if not found:
        raise ValueError(f"{source}: holds no {what} of grey levels or labels")
    names = ", ".join(list(found)[:20])
    if wanted is not None:
        if wanted not in found:
            raise OptionError("dataset", f"{source}: no {what} {wanted}; found: {names}")
        return wanted
    if len(found) != 1:
        raise OptionError("dataset", f"{source}: name one {what} of {names}")
    return next(iter(found))


def starts_with(path: Path, *beginnings: bytes, offset: int = 0) -> bool:
    """Tell whether a regular file has one of some contents at an offset."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(max(map(len, beginnings))).startswith(beginnings)
