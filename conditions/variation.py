"""New masks from real ones: bent, turned, and with organelles moved, removed and inserted.

A generator that draws images for the masks of its training set shows a segmenter new textures and
no new layouts. Masks that are remodelled show both (NeuroDiff; SegGen, Ye et al. 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from conditions.objects import EIGHT, Object, find_objects, put_down, take_out, turned, write
from core.command_line.options import (
    OptionError,
    at_least_one,
    fraction,
    non_negative_float,
    non_negative_int,
    option,
    positive_int,
)

SQUARINGS = 5  # a displacement is composed of 2**5 small ones, so that it cannot fold
CANDIDATES = 4  # organelles that are tried for one insertion, as large ones rarely fit
REPAIRS = 4  # rounds; each leaves fewer contacts, almost always the first leaves none


@dataclass(frozen=True)
class VariationOptions:
    """Limits of the differences between new masks and real ones."""

    elastic_grid: int = option(20, positive_int, "PIXELS", "distance of the points that are moved")
    elastic_deviation: float = option(
        4.0, non_negative_float, "PIXELS", "standard deviation of their movement; 0 bends nothing"
    )
    rotation: float = option(180.0, non_negative_float, "DEGREES", "largest rotation to each side")
    scaling: float = option(
        1.25, at_least_one, "FACTOR", "largest magnification; the smallest is its inverse"
    )
    objects: tuple[int, ...] = option(
        (),
        non_negative_int,
        "CLASS",
        "classes whose regions are organelles: with all inside them, these are moved, removed and "
        "inserted within the class around them",
        nargs="*",
    )
    move: float = option(0.5, fraction, "P", "share of the organelles that are moved and turned")
    remove: float = option(0.2, fraction, "P", "share of the organelles that are removed")
    insert: float = option(
        0.2, fraction, "P", "organelles of any mask that are inserted, per organelle of a mask"
    )

    def check(self):
        """Raise OptionError where shares exceed the whole, or are of no organelles."""
        for name in () if self.objects else ("move", "remove", "insert"):
            if getattr(self, name) != getattr(VariationOptions, name):
                raise OptionError(name, "has no effect without `objects`")
        if self.move + self.remove > 1:
            raise OptionError("move", f"{self.move} and `remove` {self.remove} exceed 1 together")


class Variation(NamedTuple):
    """A new mask and how it came about.

    Attributes:
        labels: class indices, int64 (H, W).
        places: where each pixel lay in the mask before, float64 (2, H, W): rows, columns.
        moved, removed, inserted: numbers of organelles.
    """

    labels: np.ndarray
    places: np.ndarray
    moved: int
    removed: int
    inserted: int


def vary(
    labels: np.ndarray,
    options: VariationOptions,
    rng: np.random.Generator,
    library: Sequence[Object] = (),
) -> Variation:
    """A new mask of the size of `labels`, (H, W), in which no two regions of a class grow together.

    Args:
        library: objects that may be inserted.
    """
    labels = labels.copy()
    moved, removed, inserted = _edit(labels, options, rng, library)
    places = draw_places(labels.shape, options, rng)
    return Variation(read_apart(labels, places), places, moved, removed, inserted)


def take(picture: np.ndarray, places: np.ndarray, smooth: bool = False) -> np.ndarray:
    """A picture (H, W) read at `places`, (2, H, W); it is mirrored beyond its border.

    Args:
        smooth: cubic interpolation, for images; otherwise the nearest pixel, for classes.
    """
    return ndimage.map_coordinates(picture, places, order=3 if smooth else 0, mode="reflect")


# Organelles


def _edit(labels, options, rng, library) -> tuple[int, int, int]:
    """Move, remove and insert organelles in place; the number of each that was done."""
    moved = removed = 0
    present = find_objects(labels, options.objects)
    for piece in present:
        draw = rng.random()
        if draw < options.remove:
            take_out(labels, piece)
            removed += 1
        elif draw < options.remove + options.move:
            take_out(labels, piece)
            # Turned, it fits somewhere or not; untouched, it fits where it was.
            other = turned(piece, rng.uniform(0, 360), rng.random() < 0.5)
            if put_down(labels, other, rng):
                moved += 1
            else:
                write(labels, piece)  # undoes `take_out`
    inserted = 0
    wanted = rng.binomial(max(len(present), 1), options.insert) if library else 0
    for _ in range(wanted):
        for _ in range(CANDIDATES):
            piece = library[rng.integers(len(library))]
            piece = turned(piece, rng.uniform(0, 360), rng.random() < 0.5)
            if put_down(labels, piece, rng):
                inserted += 1
                break
    return moved, removed, inserted


# Geometry


def draw_places(
    shape: tuple[int, int], options: VariationOptions, rng: np.random.Generator
) -> np.ndarray:
    """Draw where each pixel of a new mask lies in the old one, float64 (2, H, W)."""
    angle = np.deg2rad(rng.uniform(-options.rotation, options.rotation))
    factor = options.scaling ** rng.uniform(-1, 1)
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    mirror = rng.choice([-1, 1])
    grid = np.mgrid[: shape[0], : shape[1]].astype(np.float64)  # (2, H, W)
    centre = (np.array(shape) - 1)[:, None, None] / 2
    rows, columns = grid - centre
    columns = columns * mirror
    turned_grid = np.stack([cos * rows - sin * columns, sin * rows + cos * columns]) + centre
    return turned_grid + bend(shape, options.elastic_grid, options.elastic_deviation, rng)


def bend(shape: tuple[int, int], grid: int, deviation: float, rng: np.random.Generator):
    """A smooth displacement that folds nowhere, in pixels, float64 (2, H, W).

    Points of a coarse grid move at random, the others with them by cubic splines. The movement is
    taken as a velocity and integrated by scaling and squaring (Arsigny et al. 2006), which gives
    a one-to-one map.

    Args:
        grid: distance of the points in pixels.
        deviation: standard deviation of the points' movement in pixels.
    """
    points = [int(np.ceil(n / grid)) + 3 for n in shape]
    coarse = rng.normal(0, deviation, (2, *points))
    rows, columns = np.mgrid[: shape[0], : shape[1]] / grid + 1.0
    velocity = [ndimage.map_coordinates(plane, [rows, columns], order=3) for plane in coarse]
    field = np.stack(velocity) / 2**SQUARINGS
    identity = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    for _ in range(SQUARINGS):
        field = field + np.stack(
            [ndimage.map_coordinates(f, identity + field, order=1, mode="nearest") for f in field]
        )
    return field


# Topology


def number_regions(labels: np.ndarray) -> np.ndarray:
    """Number of the region that each pixel belongs to, int64 (H, W), from 1 on.

    A region is a set of pixels of one class that touch along their sides or at corners.
    """
    numbers = np.zeros(labels.shape, np.int64)
    highest = 0
    for label in np.unique(labels):
        found, count = ndimage.label(labels == label, EIGHT)
        numbers[found > 0] = found[found > 0] + highest
        highest += count
    return numbers


def read_apart(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Read a mask (H, W) at `places` so that no two regions of a class grow together.

    Places lie up to a pixel apart or more, so a thin membrane can fall between them. A pixel where
    two regions would touch gets the class that parts them in the mask.
    """
    # Mirrored all around, so that a turned mask has regions in its corners as well.
    margin = max(labels.shape)
    labels = np.pad(labels, margin, mode="symmetric")
    places = places + margin
    regions = number_regions(labels)
    classes, numbers = take(labels, places), take(regions, places)
    nearest = np.rint(places).astype(int)  # (2, H, W)
    for _ in range(REPAIRS):
        touching = _contacts(classes, numbers)
        if not touching.any():
            break
        for label in np.unique(classes[touching]):
            # For each pixel of the class, the closest one of another class.
            closest = ndimage.distance_transform_edt(
                labels == label, return_distances=False, return_indices=True
            )  # (2, H', W')
            here = touching & (classes == label)
            between = tuple(closest[:, nearest[0][here], nearest[1][here]])
            classes[here], numbers[here] = labels[between], regions[between]
    return classes


# Pixels of a map (H, W) and their neighbours: right, below, below right, below left
NEIGHBOURS = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)


def _contacts(classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of their class but another region, bool (H, W).

    Neighbours are those on the right, below, and below on both sides: of two, the first is found.
    """
    found = np.zeros(classes.shape, bool)
    for first, second in NEIGHBOURS:
        found[first] |= (classes[first] == classes[second]) & (numbers[first] != numbers[second])
    return found
