"""TIFF files: which of their pages is the picture, what its samples mean, and its pixels."""

import math
import re
from pathlib import Path

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC

from core.imaging.image_header import (
    Header,
    Picture,
    Refusal,
    check_num_pixels,
    upright,
    valid_orientation,
)

COLOURS = {
    PHOTOMETRIC.MINISWHITE: "grey",
    PHOTOMETRIC.MINISBLACK: "grey",
    PHOTOMETRIC.PALETTE: "palette",
    PHOTOMETRIC.RGB: "RGB",
}
NAMES = {PHOTOMETRIC.SEPARATED: "CMYK", PHOTOMETRIC.YCBCR: "YCbCr", PHOTOMETRIC.CIELAB: "CIELab"}
JPEG = (COMPRESSION.JPEG, COMPRESSION.OJPEG)
LOSSY = (*JPEG, COMPRESSION.JPEG_LOSSY)
ORIENTATION, PHOTOMETRIC_TAG = 274, 262
MAX_SAMPLE_VALUES = (281, 341)  # MaxSampleValue, SMaxSampleValue
OME_BITS = re.compile(r'\bSignificantBits="(\d+)"')
ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA = 1, 2  # values of ExtraSamples
FEWEST_BITS = 8  # a smaller number tells which values occur, not how bright they are
SHAPE_TOLERANCE = 0.02  # of the ratios of a thumbnail's sides to the picture's: sides are rounded


def read_tiff_header(path: Path) -> Header:
    """Size and meaning of a TIFF's picture, without decoding pixels; raises like `read_tiff`."""
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        return _header(tiff, _only_picture(tiff))


def read_tiff(path: Path) -> Picture:
    """The one picture of a TIFF.

    Raises:
        Refusal: a stack, or samples that are neither grey levels, colours nor alpha.
        core.imaging.image_header.DECODER_ERRORS: a broken file.
    """
    # OME metadata describe a set of files. Which of its slices lie in this one is for its pages.
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        page = _only_picture(tiff)
        header = _header(tiff, page)
        pixels = page.asarray(squeeze=False)  # (planes, 1, H, W, samples of a plane)
        table = page.colormap
    pixels = np.moveaxis(pixels[:, 0], 0, -2)  # (H, W, planes, samples of a plane)
    pixels = pixels.reshape(header.height, header.width, header.samples)
    if header.dtype == np.int16 and pixels.dtype == np.uint16:
        pixels = with_sign(pixels)
    if header.premultiplied and (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
        raise Refusal(
            "its colours are multiplied by alpha (ExtraSamples 1), expected colours as they are. "
            "Save it without alpha."
        )
    if table is not None:
        table = _eight_bit(table.T)  # (entries, 3)
    return Picture(header, upright(pixels, header.orientation), table)


def _only_picture(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    """The page that holds the picture; the others are its thumbnails and pyramid levels."""
    main = tiff.pages[0]
    candidates = [page for page in _pages(tiff) if not (page.is_reduced or page.is_mask)]
    if candidates:
        main = max(candidates, key=lambda page: page.imagelength * page.imagewidth)
    # `main` is no thumbnail of itself: it counts
    num_slices = sum(not _is_thumbnail(page, main) for page in candidates)
    if num_slices > 1:
        _refuse_stack(f"{num_slices} pages")
    # ImageJ and others keep a whole stack behind a single page. Only their own notes tell.
    sizes = [math.prod(series.shape) for series in tiff.series]
    num_slices = max([main.imagedepth, *(size // main.size for size in sizes if main.size)])
    if num_slices > 1:
        _refuse_stack(f"{num_slices} slices")
    return main


def _pages(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Pages of a file, each followed by the pages of its sub-directories."""
    return [page for top in tiff.pages for page in (top, *(top.pages or ()))]


def _is_thumbnail(page: tifffile.TiffPage, main: tifffile.TiffPage) -> bool:
    """Tell whether a page without a mark is `main` in at most half its size."""
    height, width = page.imagelength / main.imagelength, page.imagewidth / main.imagewidth
    return max(height, width) <= 0.5 and abs(height - width) < SHAPE_TOLERANCE


def _refuse_stack(what: str) -> None:
    raise Refusal(f"a stack of {what}, expected one image. Save one file per slice.")


def _header(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Header:
    """Meaning of the samples of a page; raises Refusal where they have none here."""
    colours = _colours(page)
    bits = page.bitspersample
    if not isinstance(bits, int) or page.dtype is None:
        raise Refusal(f"{bits} bits per sample of format {page.sampleformat}, expected 8 or 16")
    stored = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
    header = Header(
        height=page.imagelength,
        width=page.imagewidth,
        colours=colours,
        samples=page.samplesperpixel,
        dtype=np.dtype(np.int16) if has_sign_of_imagej(tiff) else page.dtype,
        bits=used_bits(page, bits),
        orientation=valid_orientation(page.tags.valueof(ORIENTATION)),
        min_is_white=page.photometric == PHOTOMETRIC.MINISWHITE,
        premultiplied=ASSOCIATED_ALPHA in page.extrasamples,
        lossy=page.compression in LOSSY,
        stored_bytes=max(stored, default=0),
    )
    check_num_pixels(header, tiff.filehandle.size)
    return header


def _colours(page: tifffile.TiffPage) -> str:
    """Meaning of the samples: "grey", "palette" or "RGB"."""
    kind, samples, extra = page.photometric, page.samplesperpixel, page.extrasamples
    if PHOTOMETRIC_TAG not in page.tags:
        raise Refusal("does not say whether 0 is black or white (PhotometricInterpretation)")
    planar = page.planarconfig != 1
    if kind == PHOTOMETRIC.YCBCR and page.compression in JPEG and not extra and not planar:
        kind = PHOTOMETRIC.RGB  # the JPEG decoder converts it
    if kind not in COLOURS:
        name = NAMES.get(kind) or getattr(kind, "name", kind)
        raise Refusal(f"{name} colours, expected grey or RGB. Convert it to RGB.")
    colours = COLOURS[kind]
    known = {
        "palette": samples == 1,
        # Four planes of a grey file are the four channels of a hint; see `read_four_channels`.
        "grey": samples == 1
        or (samples == 4 and kind == PHOTOMETRIC.MINISBLACK)
        or (samples == 2 and extra and extra[0] in (ASSOCIATED_ALPHA, UNASSOCIATED_ALPHA)),
        "RGB": samples in (3, 4),
    }
    if not known[colours]:
        raise Refusal(
            f"{samples} {colours} samples per pixel, expected grey or RGB, with or without alpha. "
            "Save one file per channel."
        )
    return colours


def used_bits(page: tifffile.TiffPage, bits: int) -> int:
    """Bits per sample; fewer than stored where the largest possible value or OME's notes say so.

    Cameras put 12 bits into 16 and state 4095. A value that is not 2**n - 1 is the brightest pixel.
    """
    stated = {int(number) for number in OME_BITS.findall(page.parent.pages.first.description)}
    stated = stated if len(stated) == 1 else set()  # the images of a file may differ
    for tag in MAX_SAMPLE_VALUES:
        largest = page.tags.valueof(tag)
        largest = max(largest) if isinstance(largest, tuple) else largest
        if isinstance(largest, int) and largest == 2 ** largest.bit_length() - 1:
            stated.add(largest.bit_length())
    fewer = [number for number in stated if FEWEST_BITS <= number < bits <= 16]
    return min(fewer, default=bits)


def has_sign_of_imagej(tiff: tifffile.TiffFile) -> bool:
    """Tell whether 16-bit numbers stand for those from -32768 on.

    ImageJ has no signed pixels: of files of such, as microscopes and MRC have, it keeps the numbers
    plus 32768, and notes the line that takes them back. `with_sign` does that.
    """
    line = [(tiff.imagej_metadata or {}).get(name) for name in ("cf", "c0", "c1")]
    return line == [0, -(2**15), 1] and tiff.pages.first.dtype == np.uint16


def with_sign(pixels: np.ndarray) -> np.ndarray:
    """The numbers that ImageJ's uint16 stand for, as int16."""
    return (pixels ^ np.uint16(2**15)).view(np.int16)


def _eight_bit(table: np.ndarray) -> np.ndarray:
    """A colour table in 8 bits where it only spreads 8 bits over 16.

    The format asks for v * 257. Writers also store v * 256 (Pillow, libtiff's tools) and v itself.
    """
    if (table < 256).all():
        return table.astype(np.uint8)
    high, low = table >> 8, table & 255
    return high.astype(np.uint8) if (low == 0).all() or (low == high).all() else table
