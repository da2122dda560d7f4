"""Objects of a mask: whole organelles, which can be taken out and put down somewhere else.

An object is a connected region of one class together with all that lies inside it, such as a myelin
ring with its axon. It is surrounded by a single other class, its host. Moving it inside its host
keeps the classes nested as they are in real masks.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from scipy import ndimage

MARGIN = 2  # pixels of the host that stay around an object
EIGHT = np.ones((3, 3), bool)  # the neighbours that connect two pixels, corners included


class Object(NamedTuple):
    """A piece of a mask that can be put down inside its host.

    Attributes:
        labels: class indices, (h, w); they count where `footprint` is true.
        footprint: bool (h, w), with no empty border row or column.
        host: class around it.
        top, left: where the piece lies in its mask, in pixels.
    """

    labels: np.ndarray
    footprint: np.ndarray
    host: int
    top: int
    left: int


def find_objects(labels: np.ndarray, classes: Collection[int]) -> list[Object]:
    """Objects of some classes, from the top down.

    A region that touches the border of the mask, or more than one class, is no object: nobody knows
    what it looks like outside, or which of the classes is its host.

    Args:
        labels: class indices, (H, W).
        classes: those whose regions are objects.
    """
    found = []
    for label in classes:
        regions, _ = ndimage.label(labels == label, EIGHT)
        for i, box in enumerate(ndimage.find_objects(regions), start=1):
            rows, columns = (slice(side.start - 1, side.stop + 1) for side in box)
            if min(rows.start, columns.start) < 0:
                continue
            if rows.stop > labels.shape[0] or columns.stop > labels.shape[1]:
                continue
            # Holes are what a region encloses: the axon in a ring of myelin.
            footprint = ndimage.binary_fill_holes(regions[rows, columns] == i)
            ring = ndimage.binary_dilation(footprint, EIGHT) & ~footprint
            hosts = np.unique(labels[rows, columns][ring])
            if len(hosts) == 1:
                inside = slice(1, -1), slice(1, -1)
                found.append(
                    Object(
                        labels[rows, columns][inside].copy(),  # `take_out` writes into `labels`
                        footprint[inside],
                        int(hosts[0]),
                        box[0].start,
                        box[1].start,
                    )
                )
    return sorted(found, key=lambda piece: (piece.top, piece.left))


def take_out(labels: np.ndarray, piece: Object) -> None:
    """Replace an object by its host, in place; `piece` was found in these labels (H, W)."""
    write(labels, piece._replace(labels=np.full_like(piece.labels, piece.host)))


def write(labels: np.ndarray, piece: Object) -> None:
    """Write an object into labels (H, W) at its place, in place."""
    height, width = piece.footprint.shape
    there = labels[piece.top : piece.top + height, piece.left : piece.left + width]
    there[piece.footprint] = piece.labels[piece.footprint]


def turned(piece: Object, degrees: float, mirrored: bool) -> Object:
    """The object turned about its centre, and mirrored before that; no class is interpolated."""
    side = int(np.ceil(np.hypot(*piece.footprint.shape)))
    outside = -1  # of the footprint; no class has this number
    canvas = np.full((side, side), outside)
    height, width = piece.footprint.shape
    top, left = (side - height) // 2, (side - width) // 2
    content = np.where(piece.footprint, piece.labels, outside)
    canvas[top : top + height, left : left + width] = content[:, ::-1] if mirrored else content
    canvas = ndimage.rotate(canvas, degrees, reshape=False, order=0, cval=outside)
    footprint = canvas != outside
    rows, columns = (np.flatnonzero(footprint.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return piece._replace(labels=canvas[box], footprint=footprint[box])


def put_down(labels: np.ndarray, piece: Object, rng: np.random.Generator) -> bool:
    """Draw a place for an object where it fits into its host, and write it there, in place.

    Every place where the object and `MARGIN` pixels around it cover the host alone is equally
    likely.

    Args:
        labels: class indices, (H, W).
    Returns:
        Whether there was such a place.
    """
    from scipy.signal import fftconvolve  # here: it takes a second to load

    needed = ndimage.binary_dilation(np.pad(piece.footprint, MARGIN), EIGHT, MARGIN)
    if needed.shape[0] > labels.shape[0] or needed.shape[1] > labels.shape[1]:
        return False
    # Correlation counts the pixels of other classes that the object would cover at each place.
    other = (labels != piece.host).astype(np.float32)
    covered = fftconvolve(other, needed[::-1, ::-1].astype(np.float32), mode="valid")
    places = np.argwhere(covered < 0.5)  # whole numbers, up to the error of the transform
    if not len(places):
        return False
    top, left = places[rng.integers(len(places))] + MARGIN
    write(labels, piece._replace(top=top, left=left))
    return True
