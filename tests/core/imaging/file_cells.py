"""Image files by hand, each beside the numbers that went into it.

They are written by Pillow, tifffile and imagecodecs, with small additions that none of them writes,
such as chunks in a PNG.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tifffile

HEIGHT, WIDTH = 6, 10
TURNS: dict[int, Callable] = {  # EXIF: from the stored to the upright picture
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.fliplr(np.rot90(a, -1)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.flipud(np.rot90(a, -1)),
    8: np.rot90,
}


@dataclass(frozen=True)
class Cell:
    """A file, and what its readers must return; None where they must refuse it."""

    name: str
    content: bytes
    image: np.ndarray | None = None
    labels: np.ndarray | None = None
    four: np.ndarray | None = None
    tolerance: float = 1e-6


def meaning(pixels: np.ndarray, full: int, turn: int = 1, min_is_white: bool = False) -> dict:
    """What (H, W, samples) of grey levels or colours, with or without alpha, must be read as."""
    pixels = TURNS[turn](pixels)
    if pixels.shape[2] > 2:
        equal = (pixels[..., :3] == pixels[..., :1]).all()
        return {
            "image": pixels[..., :3] / full,
            "labels": pixels[..., 0].astype(int) if equal else None,
            "four": pixels / full if pixels.shape[2] == 4 else None,
        }
    grey = pixels[..., :1] / full
    return {
        "image": np.repeat(1 - grey if min_is_white else grey, 3, axis=2),
        "labels": pixels[..., 0].astype(int),
    }


def random(samples: int, full: int, equal: bool = False, seed: int = 0) -> np.ndarray:
    """Pixels (H, W, samples) up to `full`, which occurs; equal colours on request."""
    dtype = bool if full == 1 else np.uint8 if full < 256 else np.uint16
    shape = HEIGHT, WIDTH, samples
    pixels = np.random.default_rng(seed).integers(0, full, shape, endpoint=True)
    pixels[0, 0] = full
    if equal:
        pixels[..., :3] = pixels[..., :1]
    return pixels.astype(dtype)


# Writers


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def exif(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def with_exif(png: bytes, orientation: int, late: bool) -> bytes:
    """A PNG with an eXIf chunk before or after the pixels."""
    place = len(png) - 12 if late else 33
    return png[:place] + chunk(b"eXIf", exif(orientation)) + png[place:]


def png(pixels: np.ndarray, bits: int, colour_type: int, table: bytes = b"") -> bytes:
    """A PNG of any kind: the format is the plain one of the specification, without filters."""
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in pixels]
    elif bits == 8:
        rows = [row.astype("u1").tobytes() for row in pixels]
    else:
        ones = np.unpackbits(pixels.astype("u1"), axis=2)[..., 8 - bits :]  # (H, W, bits)
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in ones]
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + (chunk(b"PLTE", table) if table else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def tiff(pixels: np.ndarray, turn: int = 1, largest: int | None = None, **how) -> bytes:
    """A TIFF by tifffile; `largest` is its MaxSampleValue."""
    tags = [(274, "H", 1, turn, True)]
    if largest is not None:
        tags.append((281, "H", 1, largest, True))
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, extratags=tags, metadata=None, **how)
    return content.getvalue()
