"""HDF5 files: one data set of them."""

import json
import re
from pathlib import Path

import numpy as np

from core.imaging.pixel_size import UNKNOWN, Voxel, in_nm
from core.packages import optional_package
from volumes.axes import DEFAULT_AXES, Box, place_axes
from volumes.base import REQUIREMENTS, ArrayOptions, Format, Volume, choose_one, starts_with
from volumes.hdf5_sources import check_sources

BIG_DATA_VIEWER = re.compile(r"/t\d+/(s\d+)/\d+/cells")  # time, setup, level


class Hdf5Volume(Volume):
    """A data set of an HDF5 file, chunked or not.

    Axes are those of the dimension labels or of vigra's `axistags` (ilastik), else z, y, x in the
    end. The voxel size is `element_size_um` (Fiji, ilastik) or `resolution` in nm (CREMI).
    """

    format = "HDF5"

    def __init__(self, path: Path, options: ArrayOptions):
        h5py = optional_package("h5py", "reading HDF5 files", REQUIREMENTS)
        try:
            self._file = h5py.File(path, "r")
            name = _normal(options.dataset)
            if not _is_volume(h5py, name and self._file.get(name)):
                name = choose_one(_datasets(h5py, self._file, path), name, path)
            self._array = self._file[name]
            axes = _axes_of(self._array)
            check_sources(h5py, self._array)
        except FileNotFoundError:  # an OSError too, but it names the file
            raise
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from error
        self.source = f"{path}:{name}"
        self._place = place_axes(axes, _shape_of(self._array), options.places, self.source)
        self.shape, self.dtype = self._place.shape, _meant_dtype(self._file, self._array)
        self.chunks = self._place.of_volume(self._array.chunks or (1, *self._array.shape[1:]))
        self.voxel = _voxel_of(self._array.attrs)

    def read(self, box: Box) -> np.ndarray:
        try:
            block = self._array[self._place.index(box)]
            return self._place.in_order(block.view(self.dtype))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{self.source}: damaged ({error})") from error


def _normal(name: str | None) -> str | None:
    """The name of a data set as a file lists it."""
    return name.strip("/") if name else None


def _is_volume(h5py, item) -> bool:
    """Tell data sets of numbers that can be pictures."""
    return isinstance(item, h5py.Dataset) and item.ndim >= 2 and item.dtype.kind in "buif"


def _datasets(h5py, file, path: Path) -> dict:
    """Data sets that can be pictures, by name, without the further names that links give to them.

    Raises:
        ValueError: there is none, but links that lead nowhere.
    """
    found, dead = {}, []

    def note(name, item):
        if _is_volume(h5py, item):
            found[name] = item

    def note_link(name, link):
        if isinstance(link, h5py.HardLink):
            return
        item = file.get(name)
        if item is None:
            dead.append(name)
        elif item not in found.values():
            note(name, item)

    file.visititems(note)
    file.visititems_links(note_link)
    if dead and not found:
        raise ValueError(
            f"{path}: holds no data set, but links that lead nowhere ({', '.join(dead[:5])}). "
            "Bring the files back that they name."
        )
    return found


def _meant_dtype(file, array) -> np.dtype:
    """Type of the voxels: Java has no unsigned numbers, so BigDataViewer stores them as signed.

    The group of a setup may name the type in `dataType`. Without it, 16 bits are unsigned
    (`Hdf5ImageLoader` of bigdataviewer-core).
    """
    path = BIG_DATA_VIEWER.fullmatch(array.name)
    setup = file.get(path[1]) if path else None
    if array.dtype.kind != "i" or setup is None or "resolutions" not in setup:
        return array.dtype
    unsigned = np.dtype(array.dtype.str.replace("i", "u"))
    default = "uint16" if unsigned.itemsize == 2 else ""
    stated = _text(setup.attrs.get("dataType", default)).strip('"')  # it may be JSON
    return unsigned if stated == unsigned.name else array.dtype


def _shape_of(array) -> tuple[int, ...]:
    """Shape of a data set without the zeros that Imaris adds to fill the last chunks.

    The group of a channel names the true sizes, in arrays of single characters.
    """
    stated = [array.parent.attrs.get(f"ImageSize{axis}") for axis in "ZYX"]
    try:
        true = tuple(int(b"".join(characters)) for characters in stated)
    except (TypeError, ValueError):  # no file of Imaris
        return array.shape
    fits = array.ndim == 3 and all(0 < a <= b for a, b in zip(true, array.shape, strict=True))
    return true if fits else array.shape


def _axes_of(array) -> str:
    """A letter for each axis."""
    labels = [dimension.label.lower() for dimension in array.dims]
    if not all(len(label) == 1 for label in labels) and "axistags" in array.attrs:
        try:
            labels = [axis["key"] for axis in json.loads(array.attrs["axistags"])["axes"]]
        except (ValueError, LookupError, TypeError):
            labels = []
    if labels and all(len(label) == 1 for label in labels):
        return "".join(labels)
    return DEFAULT_AXES[-array.ndim :]


def _voxel_of(attributes) -> Voxel:
    """Voxel size of a data set's attributes, which list z, y and x."""
    unit = attributes.get("units", attributes.get("unit", "nm"))
    stated = [_text(word).strip() or "nm" for word in np.atleast_1d(unit).tolist()]
    for name, units in (("element_size_um", ["um"]), ("resolution", stated)):
        values = np.atleast_1d(attributes.get(name, ()))
        if values.shape == (3,) and values.dtype.kind in "iuf" and len(units) in (1, 3):
            sides = zip(values, units * (3 // len(units)), strict=True)
            return tuple(in_nm(float(value), unit) for value, unit in sides)
    return UNKNOWN


def _text(word: object) -> str:
    """A text, which files may hold as bytes."""
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


FORMAT = Format(
    "HDF5", lambda path: starts_with(path, b"\x89HDF\r\n\x1a\n"), Hdf5Volume, ("dataset", "at")
)
