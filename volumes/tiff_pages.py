"""Pages of a TIFF stack: whether all of them are stored like the first one.

tifffile decodes the pages of a series as it decodes the first of them. In large files it compares
three others with it, so one that is stored otherwise would become a slice of noise.

The pages of a set of OME files lie in files that tifffile has closed, thousands of them at times.
A `FileCache` opens one for each use and keeps a few open.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from tifffile import FileCache, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from core.imaging.image_header import naming, valid_orientation
from core.imaging.tiff_files import MAX_SAMPLE_VALUES, used_bits
from core.notices import notify

ORIENTATION = 274
# Of the tags that tell how pixels are stored and what they mean; see `_facts`
TAGS = (256, 257, 258, 259, 262, 266, ORIENTATION, 277, 278, 284, 317, 322, 323, 338, 339)
TAGS += (32997, 32998)  # ImageDepth, TileDepth


DESCRIBED_ELSEWHERE = re.compile(r'<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile="([^"]*)"')

Page = TiffPage | TiffFrame


def pages_of(series: TiffPageSeries) -> list[Page | None]:
    """The pages of a series; None where one is missing.

    A stack whose voxels lie one after the other may have one page for all of them.

    Raises:
        core.imaging.image_header.DECODER_ERRORS: the pages are damaged.
    """
    if series.parent is not None:
        series.parent.pages.useframes = True  # five times as fast as whole pages
        series.parent.pages.set_keyframe(series.keyframe.index)
    return list(series.pages)


def notify_of_set(tiff: TiffFile) -> None:
    """Warn of a file that belongs to a set of OME files which another file describes."""
    others = DESCRIBED_ELSEWHERE.search(tiff.ome_metadata or "")
    if others:
        notify(
            f"{tiff.filehandle.path}: belongs to a set of files that {others[1]} describes. "
            f"{len(tiff.pages)} slice(s) lie in this file, and no others are read: convert the "
            "set to one file for all of them."
        )


def place_of(page: Page) -> str:
    """A page as its file counts it, from 0 on: in a set of files, slices are counted otherwise."""
    return f"page {'.'.join(map(str, page.treeindex))}"  # 3.0: the first one below page 3


def check_alike(pages: Iterable[Page], first: TiffPage) -> None:
    """Check that pages are stored like the first one, without reading pixels.

    Raises:
        ValueError: one differs, or is damaged; names it.
    """
    files = FileCache()
    entries, facts = _entries(first, files), _facts(first)
    for page in pages:
        if not page.offset or _entries(page, files) == entries:  # no offset: it has no entries
            continue
        # Entries of other bytes may mean the same, such as a number in 2 bytes or in 4
        file = page.parent.filehandle
        path = Path(file.path)
        files.open(file)
        with naming(path):
            found = _facts(page.aspage())
        files.close(file)
        other = "the first one" if page.parent is first.parent else first.parent.filename
        for what, expected in facts.items():
            if found[what] != expected:
                raise ValueError(
                    f"{path}: {place_of(page)} has {what} {found[what]}, but {other} has "
                    f"{expected}. Store all pages alike."
                )
    files.clear()


def bits_stated(pages: Iterable[Page], first: TiffPage) -> int:
    """Bits that grey levels use; fewer than stored where the first page says so.

    Where others say something else, these are their brightest pixels. They may say nothing.
    """
    stored = first.bitspersample
    bits = used_bits(first, stored)
    if bits == stored:
        return stored
    files = FileCache()
    stated = {tuple(_entries(page, files, MAX_SAMPLE_VALUES)) for page in pages if page.offset}
    files.clear()
    return bits if len(stated - {()}) <= 1 else stored


def _entries(page: Page, files: FileCache, tags: Sequence[int] = TAGS) -> list[bytes]:
    """The directory entries of some tags of a page, as they lie in the file."""
    tiff, file = page.parent.tiff, page.parent.filehandle
    codes, size = {struct.pack(f"{tiff.byteorder}H", tag) for tag in tags}, tiff.tagsize
    count = files.read(file, page.offset, tiff.tagnosize)
    count = int.from_bytes(count, "little" if tiff.byteorder == "<" else "big")
    table = files.read(file, page.offset + tiff.tagnosize, count * size)
    return [table[i : i + size] for i in range(0, len(table), size) if table[i : i + 2] in codes]


def _facts(page: TiffPage) -> dict[str, object]:
    """Storage and meaning of the pixels of a page, for people."""
    facts = {
        "size (height, width)": (page.imagelength, page.imagewidth),
        "depth": page.imagedepth,
        "bits per sample": page.bitspersample,
        "sample format": page.sampleformat,
        "photometric interpretation": page.photometric,
        "compression": page.compression,
        "predictor": page.predictor,
        "orientation": int(valid_orientation(page.tags.valueof(ORIENTATION))),
        "samples per pixel": page.samplesperpixel,
        "extra samples": page.extrasamples,
        "planar configuration": page.planarconfig,
        "fill order": page.fillorder,
        "strips or tiles of the size": page.chunks,
        "byte order": page.parent.byteorder,
    }
    return {what: f.name if isinstance(f, Enum) else f for what, f in facts.items()}
