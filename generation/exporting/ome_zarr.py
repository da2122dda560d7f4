"""OME-Zarr of slices: a pyramid of images, and one of labels where there are masks.

Each level halves the axes of the finer one, so that a viewer opens a large volume with few voxels.
All levels are written in one pass: no more than a few slices are in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.imaging.labels import IGNORE
from core.imaging.pixel_size import Voxel
from core.packages import optional_package

ENDING = ".ome.zarr"
AXES = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
LABELS = "masks"  # name of the labels
PROPERTIES = [{"label-value": IGNORE, "class": "ignore"}]  # no class has this number
CHUNK = 512  # greatest height and width of a chunk
COARSEST = 256  # voxels that no side of the last level exceeds

Reduce = Callable[[np.ndarray, Sequence[int]], np.ndarray]


class Level(NamedTuple):
    """A level of a pyramid; all of its parts are in the order z, y, x.

    Attributes:
        shape: in voxels.
        voxel: size of a voxel, in the unit of the finest level.
        factors: by which it is coarser than the level before, 1 or 2 each.
    """

    shape: tuple[int, ...]
    voxel: tuple[float, ...]
    factors: tuple[int, ...] = (1, 1, 1)


def require_ome_zarr():
    """The package's module that writes metadata; raises RuntimeError where it is not installed."""
    return optional_package("ome_zarr.writer", "writing OME-Zarr", "req-volumes.txt")


def pyramid_of(shape: Sequence[int], voxel: Sequence[float]) -> list[Level]:
    """Levels of a volume, the finest first.

    Long voxels become cubes: an axis whose voxels are twice as long as those of another waits.
    """
    levels = [Level(tuple(shape), tuple(voxel))]
    while max(levels[-1].shape) > COARSEST:
        shape, voxel, _ = levels[-1]
        shortest = min(side for side, size in zip(voxel, shape, strict=True) if size > 1)
        factors = tuple(
            2 if size > 1 and side < 2 * shortest else 1
            for side, size in zip(voxel, shape, strict=True)
        )
        shape = tuple(-(-size // f) for size, f in zip(shape, factors, strict=True))
        voxel = tuple(side * f for side, f in zip(voxel, factors, strict=True))
        levels.append(Level(shape, voxel, factors))
    return levels


def write_ome_zarr(
    folder: Path, name: str, images: Iterable[np.ndarray], masks: Iterable | None, voxel
) -> None:
    """Write an OME-Zarr (version 0.5) of axes z, y and x.

    Args:
        folder: new folder of the OME-Zarr.
        images, masks: slices in order, uint8 (H, W); both have a `shape`, as arrays do.
        voxel: size in nm (z, y, x); None where it is unknown.
    """
    import zarr  # comes with ome-zarr

    root = zarr.open_group(folder, mode="w")
    _write_pyramid(root, name, images, voxel, _mean)
    if masks is not None:
        _write_pyramid(root.create_group(f"labels/{LABELS}"), LABELS, masks, voxel, _nearest)
        require_ome_zarr().write_label_metadata(root["labels"], LABELS, properties=PROPERTIES)


def _write_pyramid(group, name: str, slices, voxel: Voxel | None, reduce: Reduce) -> None:
    """All levels of an image or of labels, as arrays "0", "1", ... of a Zarr group."""
    levels = pyramid_of(slices.shape, voxel or (1.0, 1.0, 1.0))
    stream = iter(slices)
    for k, level in enumerate(levels):
        if k:
            stream = _reduced(stream, level.factors, reduce)
        chunks = (1, *(min(CHUNK, side) for side in level.shape[1:]))
        array = group.create_array(str(k), shape=level.shape, chunks=chunks, dtype="u1")
        stream = _written(stream, array)
    for _ in stream:  # the coarsest level draws the slices through all others
        pass
    datasets = [
        {"path": str(k), "coordinateTransformations": _place(level, levels[0], reduce)}
        for k, level in enumerate(levels)
    ]
    axes = AXES if voxel else [{"name": a["name"], "type": a["type"]} for a in AXES]
    require_ome_zarr().write_multiscales_metadata(group, datasets, axes=axes, name=name)


def _place(level: Level, finest: Level, reduce: Reduce) -> list[dict]:
    """The size and place of the voxels of a level, as OME-Zarr states them."""
    place = [{"type": "scale", "scale": list(level.voxel)}]
    if level != finest and reduce is _mean:
        # The first mean lies between voxels of the finest level; a nearest label lies on one.
        shift = [(a - b) / 2 for a, b in zip(level.voxel, finest.voxel, strict=True)]
        place.append({"type": "translation", "translation": shift})
    return place


def _written(slices: Iterator[np.ndarray], array) -> Iterator[np.ndarray]:
    """The slices, each written into an array as it passes."""
    for z, picture in enumerate(slices):
        array[z] = picture
        yield picture


def _reduced(slices: Iterator[np.ndarray], factors, reduce: Reduce) -> Iterator[np.ndarray]:
    """Slices of the next level; the last one of an odd number stands for two."""
    for first in slices:
        block = [first, next(slices, first)] if factors[0] == 2 else [first]
        yield reduce(np.stack(block), factors[1:])


def _mean(block: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Rounded means of boxes of a block (Z, H, W) over all of Z; an odd end counts twice."""
    rows, columns = factors
    ends = [(0, -size % f) for size, f in zip(block.shape[1:], factors, strict=True)]
    block = np.pad(block, [(0, 0), *ends], "edge").astype(np.uint16)  # eight bytes fit
    total = sum(
        layer[y::rows, x::columns] for layer in block for y in range(rows) for x in range(columns)
    )
    count = len(block) * rows * columns
    return ((total + count // 2) // count).astype(np.uint8)


def _nearest(block: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The first voxel of each box of a block (Z, H, W): means of labels would be other labels."""
    return block[0, :: factors[0], :: factors[1]]
