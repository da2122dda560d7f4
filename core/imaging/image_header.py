"""Facts of an image file's header, and the errors and limits that all formats share."""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffFileError

MAX_PIXELS = 10_000 * 10_000  # reading so many as a picture takes at most 2 GB
# Environment variables, which also reach worker processes; see `core.imaging.image_options`.
MAX_PIXELS_VARIABLE = "EM_MAX_PIXELS"  # raises the limit
BIT_DEPTH_VARIABLE = "EM_BIT_DEPTH"  # of pictures in 16-bit files
# Deflate packs 1000 equal pixels into a byte, which is how a small file fills a memory. Micrographs
# take at least half a byte per pixel.
PIXELS_PER_BYTE = 50
# What Pillow, tifffile and imagecodecs raise for broken files, or what their own classes derive
# from. The last ones come from headers whose numbers contradict each other.
DECODER_ERRORS = (
    OSError,
    TiffFileError,  # no ValueError before tifffile 2026
    SyntaxError,
    ValueError,
    RuntimeError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


class Refusal(ValueError):
    """A whole file whose pixels have no meaning here; the message lacks the path."""


@dataclass(frozen=True)
class Header:
    """Size and meaning of a file's pixels.

    Attributes:
        height, width: as stored, before `orientation` is applied.
        colours: "grey", "palette" or "RGB". A palette file stores rows of a colour table.
        samples: numbers per pixel, with alpha.
        dtype: of the samples in memory.
        bits: bits per sample that are used; full intensity is 2**bits - 1.
        orientation: EXIF's and TIFF's number, 1..8; 1 is upright.
        min_is_white: the smallest number is white (TIFF).
        premultiplied: colours are multiplied by alpha (TIFF).
        lossy: compressed as JPEG, so the pixels are not those that were saved.
        stored_bytes: end of the last pixels in the file, which a truncated file does not reach; 0
            where the header does not say.
    """

    height: int
    width: int
    colours: str
    samples: int
    dtype: np.dtype
    bits: int
    orientation: int = 1
    min_is_white: bool = False
    premultiplied: bool = False
    lossy: bool = False
    stored_bytes: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright picture."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


@dataclass(frozen=True)
class Picture:
    """Decoded pixels with their meaning.

    Attributes:
        pixels: (H, W, samples), upright, numbers as stored.
        table: colours of a palette file, uint8 or uint16 (entries, 3), else None.
    """

    header: Header
    pixels: np.ndarray
    table: np.ndarray | None = None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what decoders raise in the block into a ValueError that names `path`."""
    try:
        yield
    except FileNotFoundError:  # an OSError too, but no broken file
        raise
    except Refusal as refusal:
        raise ValueError(f"{path}: {refusal}") from None
    except DECODER_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__  # some span several lines
        raise ValueError(
            f"{path}: cannot be read as an image ({reason}). Replace or remove the file."
        ) from error


def max_pixels() -> int:
    """`MAX_PIXELS`, or what the environment allows; raises Refusal where that is no number."""
    stated = os.environ.get(MAX_PIXELS_VARIABLE, str(MAX_PIXELS))
    if not stated.isdecimal():
        raise Refusal(f"{MAX_PIXELS_VARIABLE} is {stated!r}, expected a number of pixels")
    return int(stated)


def check_num_pixels(header: Header, num_bytes: int) -> None:
    """Refuse a picture that would fill the memory out of a small file, before it is decoded.

    Args:
        num_bytes: size of the file.
    Raises:
        Refusal: more than `MAX_PIXELS`, or what the environment allows, in too few bytes; or the
            environment variable is no number.
        ValueError: no pixels at all.
    """
    num_pixels = header.height * header.width
    if num_pixels == 0:
        raise ValueError("its header says that it has no pixels")
    limit = max_pixels()
    if num_pixels > max(limit, PIXELS_PER_BYTE * num_bytes):
        raise Refusal(
            f"{header.height} x {header.width} pixels out of {num_bytes} bytes could fill the "
            f"memory, expected {limit} pixels at most. If the picture is real, allow it "
            f"with --max_pixels {num_pixels} or {MAX_PIXELS_VARIABLE}={num_pixels}, or store it "
            "uncompressed."
        )


def stated_bit_depth() -> int | None:
    """Bits that pictures in 16-bit files use, as the program's options state, else None."""
    stated = os.environ.get(BIT_DEPTH_VARIABLE)
    return int(stated) if stated else None


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, ...) as stored, turned and mirrored into the upright picture.

    Args:
        orientation: side on which the stored rows and columns begin, as numbered by TIFF 6.0
            (tag 274) and EXIF.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)  # stored rows are columns of the picture
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def valid_orientation(number: object) -> int:
    """The orientation that a tag states; 1 (upright) where it states none of 1..8."""
    return number if isinstance(number, int) and 1 <= number <= 8 else 1
