"""Volumes: stacks and arrays of electron micrographs, read in parts whatever their format.

A format is one module with a class of `Volume` and a `FORMAT`, and one line here.
"""

from pathlib import Path

from volumes import folder, hdf5, mrc, tiff, zarr
from volumes.base import ArrayOptions, Volume

# In the order in which they are asked: containers before folders of pictures
FORMATS = (tiff.FORMAT, hdf5.FORMAT, mrc.FORMAT, zarr.FORMAT, folder.FORMAT)
KINDS = "buif"  # of numbers, as numpy calls them, that are grey levels or labels


def open_volume(path: Path, options: ArrayOptions | None = None) -> Volume:
    """The volume of a file or folder; nothing but its description is read.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: of no known format, damaged, without voxels or with complex ones, or the options
            do not fit.
        RuntimeError: a package is missing; names it.
    """
    options = options or ArrayOptions()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    for kind in FORMATS:
        if kind.recognises(path):
            kind.check(path, options)
            volume = kind.open(path, options)
            if 0 in volume.shape:
                raise ValueError(f"{path}: has no voxels, its shape is {volume.shape}")
            if volume.dtype.kind not in KINDS:
                raise ValueError(
                    f"{volume.source}: voxels are {volume.dtype}, expected grey levels or labels"
                )
            return volume
    names = ", ".join(kind.name for kind in FORMATS)
    raise ValueError(f"{path}: expected {names}. Convert it to TIFF, for example with Fiji")
