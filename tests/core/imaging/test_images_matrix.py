"""Every kind of image file: each cell is a file and the numbers that went into it, or a refusal.

The files are written by Pillow, tifffile and imagecodecs, with two small additions that none of
them writes: chunks in a PNG and BMPs of 4 bits.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from core.imaging.images import (
    IMAGE_SUFFIXES,
    check_image,
    image_size,
    read_four_channels,
    read_image,
    read_labels,
)

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


# PNG


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


def png_cells() -> Iterator[Cell]:
    """Colour type x bit depth x orientation x its place x equal colours."""
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
    samples = {0: 1, 2: 3, 4: 2, 6: 4}
    for colour_type, equal, turn, late in itertools.product(samples, (0, 1), TURNS, (0, 1)):
        for bits in depths[colour_type]:
            pixels = random(samples[colour_type], 2**bits - 1, bool(equal), seed=turn)
            yield Cell(
                f"png-type{colour_type}-{bits}bit-turn{turn}-late{late}-equal{equal}",
                with_exif(png(pixels, bits, colour_type), turn, bool(late)),
                **meaning(pixels, 2**bits - 1, turn),
            )
    for colour_type, bits in itertools.product((0, 2), (8, 16)):  # one colour is transparent
        pixels = random(samples[colour_type], 2**bits - 1)
        content = png(pixels, bits, colour_type)
        transparent = chunk(b"tRNS", pixels[0, 0].astype(">u2").tobytes())
        content = content[:33] + transparent + content[33:]
        name = f"png-type{colour_type}-{bits}bit-transparent"
        yield Cell(name, content, **meaning(pixels, 2**bits - 1))
    for samples_, bits in itertools.product((1, 2, 3, 4), (8, 16)):  # a writer of others' making
        pixels = random(samples_, 2**bits - 1)
        content = imagecodecs.png_encode(np.squeeze(pixels))
        yield Cell(f"libpng-{samples_}-{bits}bit", content, **meaning(pixels, 2**bits - 1))


# Palettes

# name: (table, whether the table's numbers are the classes)
TABLES = {
    "colours": (((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)), False),
    "classes": (((2, 2, 2), (0, 0, 0), (3, 3, 3), (1, 1, 1)), True),
    "brightness": (((255,) * 3, (170,) * 3, (85,) * 3, (0, 0, 0)), False),
    "classes-and-colour": (((2, 2, 2), (0, 0, 0), (1, 1, 1), (9, 0, 0)), False),
}


def palette_meaning(indices: np.ndarray, table: np.ndarray, classes: bool, turn: int = 1) -> dict:
    indices = TURNS[turn](indices)
    return {
        "image": table[indices] / 255,
        "labels": table[indices, 0].astype(int) if classes else indices.astype(int),
    }


def bmp_of_4_bits(indices: np.ndarray, table: np.ndarray) -> bytes:
    """A BMP of 4 bits per pixel, which Pillow reads but does not write."""
    rows = b""
    for row in indices[::-1]:  # from the bottom
        packed = (row[::2] << 4 | row[1::2]).astype(np.uint8).tobytes()
        rows += packed + b"\0" * (-len(packed) % 4)
    colours = b"".join(bytes((b, g, r, 0)) for r, g, b in table.tolist())
    start = 54 + len(colours)
    head = struct.pack("<IHHI", start + len(rows), 0, 0, start) + struct.pack(
        "<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 4, 0, len(rows), 0, 0, len(table), 0
    )
    return b"BM" + head + colours + rows


def palette_cells() -> Iterator[Cell]:
    """Table x container x bit depth x orientation or spread of the table."""
    for (name, (entries, classes)), few in itertools.product(TABLES.items(), (False, True)):
        table = np.array(entries, np.uint8)
        indices = np.random.default_rng(1).integers(0, 4, (HEIGHT, WIDTH)).astype(np.uint8)
        if few:  # a mask of two classes
            indices = indices & 2
        name = f"{name}-few{int(few)}"
        for bits, turn in itertools.product((2, 4, 8), TURNS):
            content = with_exif(png(indices[..., None], bits, 3, table.tobytes()), turn, False)
            yield Cell(
                f"palette-png-{name}-{bits}bit-turn{turn}",
                content,
                **palette_meaning(indices, table, classes, turn),
            )
        expected = palette_meaning(indices, table, classes)
        picture = Image.fromarray(indices, mode="P")
        picture.putpalette(table.tobytes())
        for kind in ("PNG", "BMP", "TIFF"):
            content = io.BytesIO()
            picture.save(content, format=kind)
            yield Cell(f"palette-pillow-{kind}-{name}", content.getvalue(), **expected)
        yield Cell(f"palette-bmp4-{name}", bmp_of_4_bits(indices, table), **expected)
        for factor, order in itertools.product((1, 256, 257), "<>"):
            if factor == 1 and table.max() > 3:
                continue  # 8-bit colours that a 16-bit table holds unspread are near black
            colormap = np.zeros((3, 256), np.uint16)
            colormap[:, :4] = table.T.astype(np.uint16) * factor
            content = tiff(indices, photometric="palette", colormap=colormap, byteorder=order)
            yield Cell(f"palette-tiff-{name}-times{factor}-{order}", content, **expected)


# TIFF


def tiff(pixels: np.ndarray, turn: int = 1, largest: int | None = None, **how) -> bytes:
    """A TIFF by tifffile; `largest` is its MaxSampleValue."""
    tags = [(274, "H", 1, turn, True)]
    if largest is not None:
        tags.append((281, "H", 1, largest, True))
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, extratags=tags, metadata=None, **how)
    return content.getvalue()


# (photometric, samples, kind of the extra ones, whether it is read)
TIFF_KINDS = (
    ("minisblack", 1, (), True),
    ("miniswhite", 1, (), True),
    ("minisblack", 2, ("unassalpha",), True),
    ("miniswhite", 2, ("unassalpha",), True),
    ("rgb", 3, (), True),
    ("rgb", 4, ("unassalpha",), True),
    ("minisblack", 2, ("unspecified",), False),
    ("minisblack", 3, ("unspecified",) * 2, False),
    ("minisblack", 5, ("unspecified",) * 4, False),
    ("miniswhite", 4, ("unspecified",) * 3, False),
    ("rgb", 4, ("assocalpha",), False),
    ("rgb", 5, ("unassalpha", "unspecified"), False),
    ("separated", 4, (), False),
    ("ycbcr", 3, (), False),
    ("cielab", 3, (), False),
    ("icclab", 3, (), False),
)
PACKS = True  # whether imagecodecs can write samples that are no whole bytes; before 2026 it cannot
try:
    imagecodecs.packints_encode(np.zeros(2, np.uint16), 12)
except NotImplementedError:
    PACKS = False
# name: (full intensity, options)
TIFF_DEPTHS = {
    "1bit": (1, {}),
    "4bit-packed": (15, {"bitspersample": 4}),
    "8bit": (255, {}),
    "10bit-stated": (1023, {"largest": 1023}),
    "12bit-stated": (4095, {"largest": 4095}),
    "12bit-packed": (4095, {"bitspersample": 12}),
    "16bit": (65535, {}),
    "16bit-brightest-stated": (65535, {"largest": 60000}),
}
TIFF_STORAGE = {
    "plain": {},
    "rows": {"rowsperstrip": 2},
    "tiles": {"tile": (16, 16)},
    "lzw": {"compression": "lzw"},
    "zlib-predictor": {"compression": "zlib", "predictor": True},
    "zstd-tiles": {"compression": "zstd", "tile": (16, 16)},
}


def tiff_cells() -> Iterator[Cell]:
    """Kind x depth x planes x storage x byte order x orientation, the last two in step."""
    axes = itertools.product(
        TIFF_KINDS, TIFF_DEPTHS.items(), ("contig", "separate"), TIFF_STORAGE.items(), "<>"
    )
    number = 0
    for (photometric, samples, extra, is_read), depth, planar, storage, order in axes:
        depth_name, (full, depth_how) = depth
        storage_name, storage_how = storage
        packed = "bitspersample" in depth_how or full == 1
        if packed and (storage_name != "plain" or samples > 1):
            continue  # tifffile writes no such file
        if depth_name == "12bit-packed" and order == ">":
            continue  # it swaps bytes before it packs: cv2 finds the same wrong numbers
        if samples == 1 and planar == "separate":
            continue
        if not is_read and storage_name != "plain":
            continue  # the refusal comes before the pixels
        if depth_how.get("bitspersample") and not PACKS:
            continue
        number += 1
        turn, equal = number % 8 + 1, number % 3 == 0
        pixels = random(samples, full, equal, seed=number)
        stored = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
        content = tiff(
            np.squeeze(stored),
            turn,
            photometric=photometric,
            planarconfig=planar if samples > 1 else None,
            extrasamples=extra or None,
            byteorder=order,
            **depth_how,
            **storage_how,
        )
        name = f"{photometric}-{samples}{''.join(extra[:1])}-{depth_name}-{planar}-{storage_name}"
        expected = meaning(pixels, full, turn, photometric == "miniswhite") if is_read else {}
        yield Cell(f"tiff-{name}-{order}-turn{turn}-equal{int(equal)}", content, **expected)


def other_tiff_cells() -> Iterator[Cell]:
    """Four planes without colours, JPEG inside, other numbers, and every structure of pages."""
    four = random(4, 255)
    for planar in ("contig", "separate"):
        stored = np.moveaxis(four, -1, 0) if planar == "separate" else four
        content = tiff(stored, photometric="minisblack", planarconfig=planar)
        yield Cell(f"tiff-four-planes-{planar}", content, four=four / 255)
    opaque = random(4, 255)
    opaque[..., 3] = 255
    content = tiff(opaque, photometric="rgb", extrasamples=["assocalpha"])
    yield Cell("tiff-opaque-associated-alpha", content, **meaning(opaque, 255))
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 48, axis=0)
    colours = np.stack([ramp, ramp[:, ::-1], ramp // 2], axis=-1)
    for quality in (90, 100):
        how = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": quality}}
        content = tiff(colours, **how)
        yield Cell(f"tiff-jpeg-{quality}", content, image=colours / 255, tolerance=0.05)
    for dtype in ("i1", "i2", "u4", "i4", "u8", "i8", "f4", "f8"):
        numbers = random(1, 100)[..., 0].astype(dtype)
        content = tiff(numbers, photometric="minisblack")
        yield Cell(f"tiff-{dtype}", content, labels=numbers.astype(int))
    yield Cell("tiff-fractions", tiff(np.full((HEIGHT, WIDTH), 0.5, "f4")))
    yield Cell("tiff-nan", tiff(np.full((HEIGHT, WIDTH), np.nan, "f4")))
    yield Cell("tiff-complex", tiff(np.ones((HEIGHT, WIDTH), "c8")))
    yield Cell("tiff-above-int64", tiff(np.full((HEIGHT, WIDTH), 2**63, "u8")))
    yield Cell("tiff-2**63-as-float", tiff(np.full((HEIGHT, WIDTH), 2.0**63, "f8")))


def page_cells() -> Iterator[Cell]:
    """Stacks, open and hidden, and pictures that carry small copies of themselves."""
    stack = np.random.default_rng(2).integers(0, 255, (5, 40, 60)).astype(np.uint8)
    for name, how in {
        "pages": {},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "imagej-hidden": {"imagej": True, "metadata": {"axes": "ZYX"}, "truncate": True},
        "imagej-hidden-time": {"imagej": True, "metadata": {"axes": "TYX"}, "truncate": True},
        "shaped-hidden": {"truncate": True},
        "volumetric": {"volumetric": True},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    }.items():
        content = io.BytesIO()
        tifffile.imwrite(content, stack, photometric="minisblack", **how)
        yield Cell(f"stack-{name}", content.getvalue())
    picture = stack[0]
    expected = meaning(picture[..., None], 255)
    for name, (small, marked, first, sub) in {
        "marked": (picture[::4, ::4], 1, False, False),
        "marked-of-other-shape": (picture[::4, ::2], 1, False, False),
        "unmarked": (picture[::4, ::4], 0, False, False),
        "unmarked-of-odd-size": (picture[1::3, 1::3], 0, False, False),
        "first": (picture[::4, ::4], 1, True, False),
        "unmarked-first": (picture[::4, ::4], 0, True, False),
        "pyramid": (picture[::2, ::2], 1, False, True),
    }.items():
        content = io.BytesIO()
        with tifffile.TiffWriter(content) as writer:
            if first:
                writer.write(small, subfiletype=marked, metadata=None)
            writer.write(picture, subifds=1 if sub else None, metadata=None)
            if not first:
                writer.write(small, subfiletype=marked, metadata=None)
        yield Cell(f"thumbnail-{name}", content.getvalue(), **expected)
    for name, other in {
        "equal": stack[1],
        "larger-crop": stack[1][:30],
        "strip": stack[1][:4],
    }.items():
        content = io.BytesIO()
        with tifffile.TiffWriter(content) as writer:
            writer.write(picture, metadata=None)
            writer.write(other, metadata=None)
        yield Cell(f"second-page-{name}", content.getvalue())


# JPEG, BMP and others


def pillow(pixels: np.ndarray, mode: str | None = None, **how) -> bytes:
    content = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(content, **how)
    return content.getvalue()


def other_cells() -> Iterator[Cell]:
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 48, axis=0)
    colours = np.stack([ramp, ramp[:, ::-1], ramp // 2], axis=-1)
    for turn, subsampling in itertools.product(TURNS, ("4:4:4", "4:2:0")):
        how = {"quality": 98, "subsampling": subsampling, "exif": b"Exif\0\0" + exif(turn)}
        content = pillow(colours, format="JPEG", **how)
        image = TURNS[turn](colours) / 255
        yield Cell(f"jpeg-rgb-turn{turn}-{subsampling}", content, image=image, tolerance=0.06)
    yield Cell("jpeg-cmyk", pillow(colours, "CMYK", format="JPEG"))
    yield Cell("tiff-pillow-cmyk", pillow(colours, "CMYK", format="TIFF"))
    yield Cell("tiff-pillow-lab", pillow(colours, "LAB", format="TIFF"))
    for kind in ("GIF", "WEBP", "PPM", "ICO", "TGA", "EPS", "PDF"):
        yield Cell(f"other-{kind}", pillow(colours, format=kind))
    frames = [Image.fromarray(ramp), Image.fromarray(ramp[::-1])]
    content = io.BytesIO()
    frames[0].save(content, format="PNG", save_all=True, append_images=frames[1:])
    yield Cell("png-animation", content.getvalue())
    yield Cell("png-of-no-pixels", png(np.zeros((0, 0, 1)), 8, 0))
    for samples, equal in itertools.product((1, 3, 4), (False, True)):
        pixels = random(samples, 255, equal)
        content = pillow(np.squeeze(pixels), format="BMP")
        expected = meaning(pixels, 255) | {"four": None}  # Pillow writes no mask for alpha
        yield Cell(f"bmp-{samples}-equal{int(equal)}", content, **expected)
    bits = random(1, 1)
    yield Cell("bmp-1bit", pillow(bits[..., 0], format="BMP"), **meaning(bits, 1))


FAMILIES = (png_cells, palette_cells, tiff_cells, other_tiff_cells, page_cells, other_cells)


def fault(cell: Cell, path: Path) -> str | None:
    """What the readers do wrong with a file, None if nothing."""
    path.write_bytes(cell.content)
    for read, expected in (
        (read_image, cell.image),
        (read_labels, cell.labels if cell.tolerance < 0.01 else ...),  # ...: JPEG, not asked
        (read_four_channels, cell.four),
    ):
        if expected is ...:
            continue
        name = read.__name__
        try:
            found = read(path)
        except ValueError as error:
            if expected is not None:
                return f"{name} refuses: {error}"
            if "\n" in str(error) or not str(error).startswith(str(path)):
                return f"{name} says {error}"
            continue
        if expected is None:
            return f"{name} reads it"
        if found.shape != expected.shape or np.abs(found - expected).max() > cell.tolerance:
            return f"{name} reads other numbers"
    if cell.image is not None and not image_size(path) == check_image(path) == cell.image.shape[:2]:
        return "image_size or check_image finds another size"
    return None


# 16-bit files that hold small numbers are warned of; that has a test of its own
@pytest.mark.filterwarnings("ignore:.*no 16-bit pixel is above")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_is_read_as_it_was_written_or_refused(tmp_path, family):
    faults = {}
    for i, cell in enumerate(family()):
        # the content decides what a file is, not its suffix
        path = tmp_path / ("a" + IMAGE_SUFFIXES[i % len(IMAGE_SUFFIXES)])
        what = fault(cell, path)
        if what is not None:
            faults[cell.name] = what
    assert not faults
