"""Folders of chunks: Zarr 2 and 3, OME-Zarr 0.4 and 0.5, and N5."""

import json
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.imaging.pixel_size import UNKNOWN
from core.packages import optional_package
from volumes.axes import DEFAULT_AXES, Box, place_axes
from volumes.base import REQUIREMENTS, ArrayOptions, Format, Volume, check_level, choose_one
from volumes.chunked_metadata import Scaled, n5_voxel, named_axes, ome_levels

ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
N5_FILE = "attributes.json"
NOTHING_STATED = Scaled("", UNKNOWN)
READ_BYTES = 2**26  # of chunks that are read at once
SEARCHED = 4  # levels of folders below a group, down to which arrays are listed


class Node(NamedTuple):
    """A folder of a container.

    Attributes:
        driver: that reads it, "zarr", "zarr3" or "n5"; empty for a group.
        attributes: what users and programs noted there.
    """

    driver: str
    attributes: dict[str, Any]


class ChunkedVolume(Volume):
    """An array of a Zarr or N5 container.

    N5 counts axes from x on, so its arrays are turned round. Chunks that were never written hold
    the fill value, as the formats say.
    """

    def __init__(self, path: Path, options: ArrayOptions):
        tensorstore = optional_package("tensorstore", "reading Zarr and N5", REQUIREMENTS)
        folder = path / options.dataset.strip("/") if options.dataset else path
        folder, scaled = _find_array(folder, options, path)
        driver, attributes = read_node(folder)
        self.source = str(folder)
        if attributes.get("isLabelMultiset"):  # of Paintera; a library would read bytes of lists
            raise ValueError(
                f"{folder}: stores several labels for each voxel (label multisets), expected one. "
                "Export it from Paintera as plain labels"
            )
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder}/"}}
        try:
            self._array = tensorstore.open(spec, read=True, open=True).result()
        except (ValueError, NotImplementedError, OSError) as error:
            raise ValueError(f"{folder}: cannot be read as {driver} ({_first(error)})") from error
        self.dtype = self._array.dtype.numpy_dtype
        names = attributes.get("_ARRAY_DIMENSIONS", self._array.domain.labels)
        named = "" if driver == "n5" else named_axes(names)
        axes = scaled.axes or named or DEFAULT_AXES[-self._array.ndim :]
        voxel = scaled.voxel
        self.format = "OME-Zarr" if scaled.axes else "Zarr"
        if driver == "n5":
            self.format, axes = "N5", axes[::-1]
            voxel = n5_voxel(attributes, _parent_attributes(folder))
        self._place = place_axes(axes, self._array.shape, options.places, self.source)
        self.shape, self.voxel = self._place.shape, voxel
        self.chunks = self._place.of_volume(self._array.chunk_layout.read_chunk.shape)

    def read(self, box: Box) -> np.ndarray:
        result = np.empty([part.stop - part.start for part in box], self.dtype)
        for layer, place in self._layers(box):
            try:
                block = self._array[self._place.index(layer)].read(order="C").result()
            except (ValueError, NotImplementedError, OSError) as error:
                raise ValueError(f"{self.source}: damaged ({_first(error)})") from error
            result[place] = self._place.in_order(block)
        return result

    def _layers(self, box: Box) -> Iterator[tuple[Box, Box]]:
        """Layers of whole chunks of a box, and their places in it.

        The library reads chunks faster than it decodes them, and keeps what it has read: a large
        box would take several times its size.
        """
        # Along the axis with most chunks, layers are thinnest.
        counts = [(part.stop - part.start) / c for part, c in zip(box, self.chunks, strict=True)]
        axis = int(np.argmax(counts))
        voxels = np.prod([ceil(n) * c for n, c in zip(counts, self.chunks, strict=True)])
        layer_bytes = voxels / ceil(counts[axis]) * self.dtype.itemsize
        thickness = max(1, int(READ_BYTES // layer_bytes)) * self.chunks[axis]
        start = box[axis].start
        while start < box[axis].stop:
            stop = min((start // thickness + 1) * thickness, box[axis].stop)
            layer, place = list(box), [slice(None)] * 3
            layer[axis] = slice(start, stop)
            place[axis] = slice(start - box[axis].start, stop - box[axis].start)
            yield tuple(layer), tuple(place)
            start = stop


def _first(error: Exception) -> str:
    """The first part of a message; the rest repeats what was opened."""
    return str(error).split(" [")[0]


def read_node(folder: Path) -> Node | None:
    """Kind and attributes of a folder; None where it belongs to no container.

    Raises:
        ValueError: its metadata are no JSON.
    """
    found = {name: _read_json(folder / name) for name in (*ZARR_FILES, N5_FILE)}
    if (new := found["zarr.json"]) is not None:
        return Node("zarr3" if new.get("node_type") == "array" else "", new.get("attributes", {}))
    if any(found[name] is not None for name in ZARR_FILES):
        return Node("zarr" if found[".zarray"] else "", found[".zattrs"] or {})
    if (old := found[N5_FILE]) is not None:
        return Node("n5" if "dimensions" in old else "", old)
    return None


def _read_json(path: Path) -> dict | None:
    """A JSON object; None where there is no file."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: damaged (expected names and values)")
    return content


def _find_array(folder: Path, options: ArrayOptions, path: Path) -> tuple[Path, Scaled]:
    """The folder of the array to read, with axes and voxel size where OME-Zarr states them.

    Args:
        folder: array, pyramid or group.
        path: of the container, for messages.
    Raises:
        ValueError: there is no array.
        OptionError: there is more than one, or the pyramid lacks the level.
    """
    node = read_node(folder)
    if node is None and not (folder.is_dir() and any(_arrays_below(folder))):
        raise ValueError(f"{folder}: no Zarr or N5 array and no group of them")
    if node and node.driver:
        check_level(options.level, 1, folder)
        levels = ome_levels(_parent_attributes(folder), folder.parent)
        return folder, levels.get(folder.name, NOTHING_STATED)
    if node and (levels := ome_levels(node.attributes, folder)):
        check_level(options.level, len(levels), folder)
        name = list(levels)[options.level]
        return folder / name, levels[name]
    if levels := [path for path in folder.glob("s[0-9]*") if (path / N5_FILE).is_file()]:
        check_level(options.level, len(levels), folder)
        return folder / f"s{options.level}", NOTHING_STATED
    found = {array.relative_to(folder).as_posix(): array for array in _arrays_below(folder)}
    return _find_array(found[choose_one(found, None, folder)], options, path)


def _parent_attributes(folder: Path) -> dict:
    """Attributes of the group above an array."""
    node = read_node(folder.parent)
    return node.attributes if node else {}


def _arrays_below(folder: Path, depth: int = SEARCHED):
    """Arrays in a group and in its groups."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        node = read_node(path)
        if node and node.driver:
            yield path
        elif depth > 1:
            yield from _arrays_below(path, depth - 1)


def recognises(path: Path) -> bool:
    """Tell containers by their metadata files; groups of N5 may have none, so the suffix counts."""
    return path.is_dir() and (
        path.suffix in (".n5", ".zarr") or any((path / f).is_file() for f in (*ZARR_FILES, N5_FILE))
    )


FORMAT = Format("Zarr, OME-Zarr or N5", recognises, ChunkedVolume, ("dataset", "level", "at"))
