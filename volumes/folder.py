"""Folders of slices: one picture file each, in natural order."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from core.checks import bar_for_many, raise_first
from core.imaging.image_files import decode, read_header
from core.imaging.image_header import Header
from core.imaging.images import IMAGE_SUFFIXES, list_images
from core.imaging.known_sizes import pixel_size_of_folder
from core.imaging.labels import check_palettes, read_labels
from core.imaging.pairing import in_natural_order, varying_numbers
from core.notices import notify
from volumes.axes import Box
from volumes.base import ArrayOptions, Format, Volume


class FolderVolume(Volume):
    """The pictures of a folder as slices across z; all must be alike: grey, or all of palettes.

    Those of palettes are labels, by the rule of `read_labels`. Gaps in the numbers of the names are
    told.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: no pictures, damaged or unlike ones, two of one
            stem.
    """

    format = "folder of slices"

    def __init__(self, path: Path, options: ArrayOptions):
        self.source = str(path)
        self._paths = in_natural_order(list_images(path))
        first, bits, problems = read_header(self._paths[0]), set(), []
        for other in bar_for_many(self._paths):
            try:
                header = read_header(other)
                _check_like(other, header, self._paths[0], first)
                self.lossy |= header.lossy
                bits.add(header.bits)
            except (ValueError, OSError) as error:
                problems.append(error)
        raise_first(problems)
        self.shape = (len(self._paths), *first.size)
        self.chunks = (1, *first.size)
        self.dtype, self.min_is_white = np.dtype(first.dtype), first.min_is_white
        self.has_palettes = first.colours == "palette"
        if self.has_palettes:
            check_palettes(self._paths)
        elif min(bits) < 8 or (len(bits) == 1 and max(bits) < 8 * self.dtype.itemsize):
            self.bits = frozenset(bits)  # unlike ones above 8 are the brightest pixels of pictures
        size = pixel_size_of_folder(path)
        self.voxel = (None, *(size or (None, None)))
        self.numbers = varying_numbers(self._paths)
        _notify_of_gaps(self._paths, self.numbers)

    def read(self, box: Box) -> np.ndarray:
        planes, rows, columns = box
        return np.stack([self._plane(path)[rows, columns] for path in self._paths[planes]])

    def _plane(self, path: Path) -> np.ndarray:
        """The pixels of a slice, (Y, X)."""
        if self.has_palettes:
            return read_labels(path).astype(self.dtype)  # (Y, X)
        return decode(path).pixels[..., 0]  # (Y, X)


def _notify_of_gaps(paths, numbers):
    """Warn where the numbers of slices, in order, rise by more than from others to the next."""
    if numbers is None or len(numbers[0]) > 1:
        return
    steps = [b - a for (a,), (b,) in pairwise(numbers)]
    gaps = [i for i, step in enumerate(steps) if step > min(steps)]
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        first, second = paths[gaps[0] : gaps[0] + 2]
        notify(
            f"{first}: the next slice is {second.name}{more}. Slices are taken for neighbours; add "
            "those that are missing."
        )


def _check_like(path, header, first_path, first):
    """Refuse a slice that is not grey, or not like the first one."""
    if header.colours == "RGB" or header.samples != 1:
        raise ValueError(
            f"{path}: {header.samples} samples of {header.colours}, expected grey slices. Convert "
            "them."
        )
    if (header.size, header.dtype) != (first.size, first.dtype):
        raise ValueError(
            f"{path}: {header.size} pixels (height, width) of {header.dtype}, but {first_path} "
            f"has {first.size} of {first.dtype}. Give all slices one size and type, or move the "
            "others out of the folder."
        )
    if _meaning(header) != _meaning(first):
        raise ValueError(
            f"{path}: {_meaning(header)}, but {first_path}: {_meaning(first)}. Store all slices "
            "alike"
        )


def _meaning(header: Header) -> str:
    """Meaning of the pixels of a picture, for people."""
    zero = "white" if header.min_is_white else "black"
    return "a palette" if header.colours == "palette" else f"grey levels, 0 is {zero}"


def recognises(path: Path) -> bool:
    """Tell whether a folder holds pictures."""
    return path.is_dir() and any(
        p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." for p in path.iterdir()
    )


FORMAT = Format("folder of slices", recognises, FolderVolume)
