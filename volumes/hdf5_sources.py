"""Files that hold the voxels of an HDF5 data set: whether all of them are there.

HDF5 itself reads zeros where the source of a virtual data set is missing, or a raw file is short.
"""

import os
import re
from pathlib import Path

VIRTUAL_PREFIX, RAW_PREFIX = "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX"  # environment variables


def check_sources(h5py, array) -> None:
    """Check that the voxels of a data set are there, where other files or data sets hold them.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file lacks the data set that is asked of it, or is cut.
        OSError: a file is no HDF5 file.
    """
    todo, seen = [(Path(array.file.filename), array.name)], set()
    while todo:
        path, name = todo.pop()
        if (path, name) in seen:
            continue
        seen.add((path, name))
        with h5py.File(path, "r") as file:
            found = file.get(name)
            if not isinstance(found, h5py.Dataset):
                raise ValueError(
                    f"{path}: has no data set {name}, of which {array.file.filename}:{array.name} "
                    "is made. Bring the right file back."
                )
            if found.is_virtual:
                sources = {(part.file_name, part.dset_name) for part in found.virtual_sources()}
                todo += [(_source_file(a, path), _first_name(b)) for a, b in sorted(sources)]
            for name, offset, size in found.external or ():
                unlimited = size == h5py.h5f.UNLIMITED  # as much as the data set takes
                _check_raw_file(name, offset, 0 if unlimited else size, path)


def _first_name(name: str) -> str:
    """The first one of the names that a pattern of an unlimited source stands for: %b counts."""
    return re.sub(r"%(%|\d*b)", lambda match: "%" if match[1] == "%" else "0", name)


def _source_file(name: str, path: Path) -> Path:
    """The file of a source of a virtual data set in `path`, found as HDF5 finds it."""
    if name == ".":
        return path
    name = _first_name(name)
    prefixes = [prefix for prefix in os.environ.get(VIRTUAL_PREFIX, "").split(":") if prefix]
    for folder in (*prefixes, path.parent, path.resolve().parent, "."):
        for place in (Path(folder, name), Path(folder, Path(name).name)):
            if place.is_file():
                return place
    raise FileNotFoundError(
        f"{path}: its voxels lie in {name}, which is not there. Bring the file back."
    )


def _check_raw_file(name: str, offset: int, size: int, path: Path) -> None:
    """Check a file of raw voxels; raises as `check_sources`."""
    place = Path(os.environ.get(RAW_PREFIX, ""), name).absolute()  # HDF5 asks the current folder
    if not place.is_file():
        raise FileNotFoundError(
            f"{path}: its voxels lie in {place}, which is not there. Bring the file back, or start "
            "in its folder."
        )
    if place.stat().st_size < offset + size:
        raise ValueError(
            f"{place}: has {place.stat().st_size} bytes, but {path} speaks of {offset + size}: it "
            "is cut. Copy it again."
        )
