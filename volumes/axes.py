"""Axes: where z, y and x lie in an array, and which place is taken along the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.command_line.options import OptionError

Box = tuple[slice, slice, slice]  # along z, y and x, with starts and stops
DEFAULT_AXES = "tczyx"  # of arrays that name none: the last ones of these
FEWEST_ROWS = 32  # of a picture whose x may be its one, three or four colours
FEW_CHANNELS = 4  # up to which an axis named c holds channels: more are slices that lack a name


@dataclass(frozen=True)
class Placement:
    """A volume (Z, Y, X) in an array of two or more axes.

    Attributes:
        shape: of the volume; Z is 1 for a single picture.
        order: positions of z, y and x among the array's axes; that of z is None for one picture.
        fixed: index by position, for each other axis.
    """

    shape: tuple[int, int, int]
    order: tuple[int | None, int, int]
    fixed: Mapping[int, int]

    def of_volume(self, values: Sequence, default=1) -> tuple:
        """The values for z, y and x out of one value for each axis of the array."""
        return tuple(default if i is None else values[i] for i in self.order)

    def index(self, box: Box) -> tuple[slice | int, ...]:
        """The index of a box of the volume in the array."""
        places = dict(zip(self.order, box, strict=True)) | dict(self.fixed)
        return tuple(places[i] for i in sorted(places.keys() - {None}))

    def in_order(self, block: np.ndarray) -> np.ndarray:
        """Order a block that was read at an `index` as (Z, Y, X)."""
        left = sorted(i for i in self.order if i is not None)  # integers have removed the others
        block = block.transpose([left.index(i) for i in self.order if i is not None])
        return block if self.order[0] is not None else block[None]  # (Z, Y, X)


def place_axes(axes: str, shape: Sequence[int], at: Mapping[str, int], source: str) -> Placement:
    """Find the volume in an array.

    A single axis of more than one element beside y and x is taken for z, whatever its name, but for
    few channels: ImageJ and ilastik count slices as frames where they were not told better,
    tifffile as channels.

    Args:
        axes: a letter for each axis, in lower case.
        shape: of the array.
        at: index by letter, for axes that are neither z, y nor x.
        source: name of the array, for messages.
    Raises:
        ValueError: y or x are missing, or x seems to be channels.
        OptionError: an axis needs an index, or `at` names none of the axes or a place outside.
    """
    named = {name: i for i, name in enumerate(axes)}
    if not {"y", "x"} <= named.keys() or len(named) != len(shape):
        raise ValueError(
            f"{source}: axes {' '.join(axes)} of the sizes {tuple(shape)}, expected y and x among "
            "them, each once"
        )
    if shape[named["x"]] in (1, 3, 4) and shape[named["y"]] >= FEWEST_ROWS:
        raise ValueError(
            f"{source}: axes {' '.join(axes)} of the sizes {tuple(shape)}, so x looks like "
            "channels. Store grey levels or labels alone, with the axes z, y and x"
        )
    others = {name: i for name, i in named.items() if name not in "zyx"}
    if unknown := [name for name in at if name not in others]:
        raise OptionError("at", f"{unknown[0]}: {source} has the axes {' '.join(axes)}")
    z = _find_z(named, others, shape, at, source)
    fixed = {i: at.get(name, 0) for name, i in named.items() if name not in "yx" and i != z}
    for position, index in fixed.items():
        if not 0 <= index < shape[position]:
            raise OptionError(
                "at", f"{axes[position]}={index}: {source} has 0 to {shape[position] - 1} there"
            )
    order = (z, named["y"], named["x"])
    return Placement(tuple(1 if i is None else int(shape[i]) for i in order), order, fixed)


def _find_z(named, others, shape, at, source) -> int | None:
    """Position of z; None for a single picture.

    Args:
        named, others: position by letter, of all axes and of those that are neither z, y nor x.
        shape, at, source: as in `place_axes`.
    Raises:
        OptionError: a further axis needs an index.
    """
    long = [name for name, i in others.items() if shape[i] > 1 and name not in at]
    z = named.get("z")
    if z is not None and shape[z] == 1 and long:
        z = None  # then another axis holds the slices
    few = [name for name in long if name == "c" and shape[others[name]] <= FEW_CHANNELS]
    if z is None and len(long) == 1 and long != ["s"] and not few:  # s: samples of a colour
        return others[long[0]]
    if long:
        sizes = ", ".join(f"{name}: {shape[others[name]]}" for name in long)
        slices = ". If these are slices, save them with the axes ZYX" if few and z is None else ""
        raise OptionError(
            "at",
            f"{source} has further axes ({sizes}): choose a place on each, such as "
            f"{' '.join(f'{name}=0' for name in long)}{slices}",
        )
    return z
