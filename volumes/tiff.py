"""TIFF stacks: pages, BigTIFF, OME-TIFF, and ImageJ's, which keep large stacks behind one page."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from core.imaging.image_header import DECODER_ERRORS, naming, valid_orientation
from core.imaging.pixel_size import tiff_voxel
from core.imaging.tiff_files import LOSSY, has_sign_of_imagej, with_sign
from volumes.axes import DEFAULT_AXES, Box, place_axes
from volumes.base import ArrayOptions, Format, Volume, check_level, choose_one, starts_with
from volumes.raw import RawVoxels
from volumes.tiff_pages import (
    ORIENTATION,
    bits_stated,
    check_alike,
    notify_of_set,
    pages_of,
    place_of,
)

BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
GREY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)


class TiffVolume(Volume):
    """A series of pages of one size.

    Uncompressed stacks are read as they lie in the file. Of compressed pages, only the strips or
    tiles that a box needs are decoded.
    """

    def __init__(self, path: Path, options: ArrayOptions):
        self.source = str(path)
        with naming(path):
            self._tiff = tifffile.TiffFile(path)
            self._all_series = self._find_series()
        self._check_chain()
        notify_of_set(self._tiff)
        series = self._series(path, options)
        self.format = "OME-TIFF" if self._tiff.is_ome else "TIFF"
        page = series.keyframe
        _check_pages(path, page)
        self.lossy = page.compression in LOSSY
        self._stored, self.min_is_white = series.dtype, page.photometric == GREY[1]
        self._has_sign = has_sign_of_imagej(self._tiff)
        self.dtype = np.dtype(np.int16) if self._has_sign else series.dtype
        axes = series.axes.lower()
        if "q" in axes:  # tifffile's letter for axes without a name
            axes = DEFAULT_AXES[-len(axes) :]
        place = place_axes(axes, series.shape, options.places, self.source)
        self._place, self.shape, self._page = place, place.shape, page
        self.chunks = (1, *self.shape[1:])
        self._raw = None
        if series.dataoffset is not None:
            # All planes lie one after the other, those of other channels between them.
            planes = math.prod(series.shape) // (self.shape[1] * self.shape[2])
            dtype = series.dtype.newbyteorder(self._tiff.byteorder)
            shape = (planes, *self.shape[1:])
            self._raw = RawVoxels(path, dtype, shape, series.dataoffset)
        with naming(path):
            pages = pages_of(series)
        if None in pages:
            raise ValueError(f"{path}: pages are missing. Copy all files of the set.")
        check_alike(pages, page)
        bits = bits_stated(pages, page)
        if self.dtype.kind in "bu" and bits < 8 * self.dtype.itemsize:
            self.bits = frozenset({bits})
        if self._raw is None:
            self._pages, self._files = pages, tifffile.FileCache()
            self._check_ends()
        # Number of a plane: its place on the leading axes, which pages follow in C order
        self._leading = series.shape[:-2]
        if options.level:  # the file states the voxels of its finest level
            factors = [a / b for a, b in zip(self._full_size, self.shape[1:], strict=True)]
            z, *sides = self.voxel
            self.voxel = (z, *(s and s * f for s, f in zip(sides, factors, strict=True)))

    def _find_series(self) -> list[tifffile.TiffPageSeries]:
        """All series of pages."""
        try:
            return list(self._tiff.series)
        except RuntimeError:  # tifffile does not say which page has another width or other strips
            self._tiff.pages.useframes = False
            check_alike(self._tiff.pages, self._tiff.pages.first)
            raise

    def _series(self, path, options):
        """The series of pages to read, at its level."""
        found = {
            str(i): series
            for i, series in enumerate(self._all_series)
            if not series.keyframe.is_reduced and series.dtype is not None
        }
        number = choose_one(found, options.dataset, path, "series of pages")
        whole = found[number]
        self.voxel = tiff_voxel(self._tiff, int(number))
        levels = whole.levels
        check_level(options.level, len(levels), path)
        stated = (self._tiff.imagej_metadata or {}).get("images", 1)
        if self._tiff.is_imagej and whole.kind != "imagej" and stated > len(whole):
            raise ValueError(
                f"{path}: ImageJ wrote {stated} slices, but {len(whole)} are there: the file is "
                "cut. Copy it again."
            )
        if whole.axes[-2:] != "YX" or any(len(level.shape) < 2 for level in levels):
            raise ValueError(
                f"{path}: axes {whole.axes}, expected grey pages. Save one file per channel."
            )
        self._full_size = whole.shape[-2:]
        return levels[options.level]

    def _check_chain(self):
        """Refuse a file whose last page names a further one that cannot be there.

        Otherwise the pages behind the cut would be missing without a word.
        """
        pages, file = self._tiff.pages, self._tiff.filehandle
        number = len(pages)  # reads the chain to its end
        file.seek(pages.next_page_offset)
        following = file.read(self._tiff.tiff.offsetsize)
        if int.from_bytes(following, "little" if self._tiff.byteorder == "<" else "big"):
            raise ValueError(f"{self.source}: the file is cut after {number} pages. Copy it again.")

    def _check_ends(self):
        """Refuse a file that ends before the pixels of a page do."""
        for page in self._pages:
            size = page.parent.filehandle.size
            ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
            if max(ends, default=0) > size:
                raise ValueError(
                    f"{page.parent.filehandle.path}: {place_of(page)} ends behind the file, which "
                    "is cut. Copy it again."
                )

    def read(self, box: Box) -> np.ndarray:
        voxels = self._read_stored(box)
        return with_sign(voxels) if self._has_sign else voxels

    def _read_stored(self, box: Box) -> np.ndarray:
        """The numbers of a box as they lie in the file, (Z, Y, X)."""
        z, rows, columns = box
        planes = [self._plane(i) for i in range(z.start, z.stop)]
        if self._raw is None:
            return np.stack([self._read_page(plane, rows, columns) for plane in planes])
        if planes == list(range(planes[0], planes[0] + len(planes))):
            return self._raw.read((slice(planes[0], planes[-1] + 1), rows, columns))
        parts = [self._raw.read((slice(plane, plane + 1), rows, columns)) for plane in planes]
        return np.concatenate(parts)

    def _plane(self, z: int) -> int:
        """Number of the plane that holds a slice."""
        index = [self._place.fixed.get(i, z) for i in range(len(self._leading))]
        return int(np.ravel_multi_index(index, self._leading)) if index else 0

    def _read_page(self, number: int, rows: slice, columns: slice) -> np.ndarray:
        """Pixels of a page, (rows, columns); only what is needed is decoded."""
        page, keyframe = self._pages[number], self._page
        result = np.zeros((rows.stop - rows.start, columns.stop - columns.start), self._stored)
        try:
            for i in self._segments(rows, columns):
                offset, count = page.dataoffsets[i], page.databytecounts[i]
                data = None
                if count:  # none: a tile that was never written
                    data = self._files.read(page.parent.filehandle, offset, count)
                decoded, place, shape = keyframe.decode(
                    data, i, jpegtables=getattr(page, "jpegtables", None), jpegheader=None
                )
                if decoded is not None:
                    _paste(result, decoded[0, ..., 0], (place[2], place[3]), (rows, columns), shape)
        except DECODER_ERRORS as error:
            path = page.parent.filehandle.path
            raise ValueError(f"{path}: {place_of(page)} is damaged ({error})") from error
        return result

    def _segments(self, rows: slice, columns: slice) -> Iterator[int]:
        """Numbers of the strips or tiles of a page that overlap a box."""
        page = self._page
        height, width = page.rowsperstrip, page.imagewidth
        if page.is_tiled:
            height, width = page.tilelength, page.tilewidth
        across = -(-page.imagewidth // width)
        for i in range(rows.start // height, (rows.stop - 1) // height + 1):
            for j in range(columns.start // width, (columns.stop - 1) // width + 1):
                yield i * across + j


def _paste(result, pixels, corner, box, shape):
    """Copy the part of a decoded strip or tile that lies in the box.

    Args:
        result: (rows, columns) of the box.
        corner: first row and column of the segment in the page.
        shape: (depth, rows, columns, samples) of the segment that lie in the page.
    """
    inside, outside = [], []
    for start, size, part in zip(corner, shape[1:3], box, strict=True):
        first, last = max(start, part.start), min(start + size, part.stop)
        inside.append(slice(first - start, last - start))
        outside.append(slice(first - part.start, last - part.start))
    result[tuple(outside)] = pixels[tuple(inside)]


def _check_pages(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse pages that are no plain grey pictures."""
    problem = None
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        problem = (
            "colour tables, expected grey pages. Save the numbers alone (in Fiji: Image > Lookup "
            "Tables > Grays)"
        )
    elif page.samplesperpixel != 1 or page.photometric not in GREY:
        problem = "colours, expected grey pages. Convert them to grey"
    elif page.imagedepth != 1:
        problem = "pages that hold volumes, expected one slice for each page. Convert it"
    elif valid_orientation(page.tags.valueof(ORIENTATION)) != 1:
        problem = "turned or mirrored pages (Orientation). Save it upright"
    if problem:
        raise ValueError(f"{path}: {problem}.")


FORMAT = Format(
    "TIFF", lambda path: starts_with(path, *BEGINNINGS), TiffVolume, ("dataset", "level", "at")
)
