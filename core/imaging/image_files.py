"""Decoding: the pixels of PNG, TIFF, JPEG and BMP files, with what their numbers mean.

The content of a file decides what it is, not its suffix, and each format goes to one named decoder:
left to choose, Pillow would start Ghostscript for a PostScript file.
"""

import stat
import struct
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from core.imaging.image_header import (
    Header,
    Picture,
    Refusal,
    check_num_pixels,
    naming,
    upright,
    valid_orientation,
)
from core.imaging.tiff_files import read_tiff, read_tiff_header

BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}
# Not `Image.open`, whose limit for bombs is the whole process's and below a large mosaic
PILLOW_READERS = {"PNG": PngImageFile, "JPEG": JpegImageFile, "BMP": BmpImageFile}
PILLOW_MODES = {  # of JPEG and BMP: (colours, samples, bits)
    "1": ("grey", 1, 1),
    "L": ("grey", 1, 8),
    "P": ("palette", 1, 8),
    "RGB": ("RGB", 3, 8),
    "RGBA": ("RGB", 4, 8),
}
PNG_TYPES = {  # colour type: (colours, samples)
    0: ("grey", 1),
    2: ("RGB", 3),
    3: ("palette", 1),
    4: ("grey", 2),
    6: ("RGB", 4),
}
STRETCHED = {2: 85, 4: 17}  # factors by which Pillow multiplies 2- and 4-bit grey levels
ORIENTATION = 0x0112  # EXIF tag


def format_of(path: Path) -> str:
    """Format of a file by its first bytes: "PNG", "TIFF", "JPEG" or "BMP".

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of these, or no file (a pipe would wait for ever).
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file")
    with path.open("rb") as file:
        first = file.read(8)
    for beginning, name in BEGINNINGS.items():
        if first.startswith(beginning):
            return name
    raise ValueError("its content is neither PNG, TIFF, JPEG nor BMP" if first else "it is empty")


def read_header(path: Path) -> Header:
    """Size and meaning of a file's pixels, without decoding them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: of another format, broken, a stack, or of colours that are not read.
    """
    with naming(path):
        name = format_of(path)
        if name == "TIFF":
            return read_tiff_header(path)
        if name == "PNG":
            return _png_header(path)
        with PILLOW_READERS[name](path) as image:
            return _pillow_header(path, image)


def decode(path: Path) -> Picture:
    """Pixels of a file as stored, upright, with their meaning; raises like `read_header`."""
    with naming(path):
        name = format_of(path)
        if name == "TIFF":
            return read_tiff(path)
        if name == "PNG":
            header = _png_header(path)
            _check_png(path)
        if name == "PNG" and header.bits == 16 and header.samples > 1:
            # Pillow would drop the low bytes
            pixels, table = imagecodecs.png_decode(path.read_bytes()), None
            pixels = pixels[..., : header.samples]  # a transparent colour (tRNS) comes as alpha
        else:
            with PILLOW_READERS[name](path) as image:
                if name != "PNG":
                    header = _pillow_header(path, image)
                pixels, table = _pillow_pixels(image, header)
        pixels = pixels.reshape(header.height, header.width, header.samples)
        return Picture(header, upright(pixels, header.orientation), table)


def check_whole(path: Path, header: Header) -> None:
    """Check that no bytes are missing, without decoding a PNG or a TIFF.

    Raises:
        ValueError: truncated, or a checksum is wrong.
    """
    with naming(path):
        name = format_of(path)
        if name == "PNG":
            _check_png(path)
            return
        whole = name == "TIFF" and header.stored_bytes <= path.stat().st_size
    if not whole or header.premultiplied:  # whether alpha is full is in the pixels
        decode(path)


def _check_png(path: Path) -> None:
    """Compare all checksums of a PNG; decoders do not read the last one."""
    with PngImageFile(path) as image:
        image.verify()


def _png_header(path: Path) -> Header:
    """Meaning of a PNG's pixels.

    The chunks are walked through because Pillow decodes a picture to find an orientation in a
    chunk that follows the pixels.
    """
    exif = Image.Exif()
    with path.open("rb") as file:
        file.seek(8)
        length, name = struct.unpack(">I4s", file.read(8))
        width, height, bits, colour_type = struct.unpack(">IIBB", file.read(10))
        if name != b"IHDR" or colour_type not in PNG_TYPES:
            raise ValueError("its PNG header is damaged")
        file.seek(length - 10 + 4, 1)  # 4: checksum
        while len(head := file.read(8)) == 8 and name != b"IEND":
            length, name = struct.unpack(">I4s", head)
            start = file.tell()
            if name == b"eXIf":
                exif.load(file.read(length))
            elif name == b"acTL" and (num_frames := struct.unpack(">I", file.read(4))[0]) > 1:
                raise Refusal(
                    f"an animation of {num_frames} frames, expected one image. "
                    "Save one file per frame."
                )
            file.seek(start + length + 4)
    colours, samples = PNG_TYPES[colour_type]
    header = Header(
        height=height,
        width=width,
        colours=colours,
        samples=samples,
        dtype=np.dtype(bool if bits == 1 and colours == "grey" else f"u{max(bits // 8, 1)}"),
        bits=bits,
        orientation=valid_orientation(exif.get(ORIENTATION)),
    )
    check_num_pixels(header, path.stat().st_size)
    return header


def _pillow_header(path: Path, image: Image.Image) -> Header:
    """Meaning of the pixels of an opened JPEG or BMP."""
    if image.mode not in PILLOW_MODES:
        raise Refusal(f"{image.mode} colours, expected grey or RGB. Convert it to RGB.")
    colours, samples, bits = PILLOW_MODES[image.mode]
    header = Header(
        height=image.height,
        width=image.width,
        colours=colours,
        samples=samples,
        dtype=np.dtype(bool if bits == 1 else np.uint8),
        bits=bits,
        orientation=valid_orientation(image.getexif().get(ORIENTATION)),
        lossy=image.format == "JPEG",
    )
    check_num_pixels(header, path.stat().st_size)
    return header


def _pillow_pixels(image: Image.Image, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """(pixels as stored, colour table or None) of an opened file."""
    pixels = np.array(image)
    if pixels.dtype == np.int32:  # some releases open 16-bit grey in a 32-bit mode
        pixels = pixels.astype(np.uint16)
    if header.colours == "grey" and header.bits in STRETCHED:
        pixels //= STRETCHED[header.bits]
    if header.colours != "palette":
        return pixels, None
    return pixels, np.array(image.getpalette(), np.uint8).reshape(-1, 3)
