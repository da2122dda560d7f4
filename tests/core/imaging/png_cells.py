"""PNG files of every kind, and palettes in PNG, BMP and TIFF files."""

import io
import itertools
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.core.imaging.file_cells import (
    HEIGHT,
    TURNS,
    WIDTH,
    Cell,
    chunk,
    meaning,
    png,
    random,
    tiff,
    with_exif,
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
    "brightness": (((0, 0, 0), (85,) * 3, (170,) * 3, (255,) * 3), False),
    "falling brightness": (((255,) * 3, (170,) * 3, (85,) * 3, (0, 0, 0)), None),
    "classes-and-colour": (((2, 2, 2), (0, 0, 0), (1, 1, 1), (9, 0, 0)), False),
}


def palette_meaning(
    indices: np.ndarray, table: np.ndarray, classes: bool | None, turn: int = 1
) -> dict:
    """Pixels of a palette file; its table holds the `classes`, or not, or nothing tells (None)."""
    indices = TURNS[turn](indices)
    labels = table[indices, 0] if classes else indices
    return {
        "image": table[indices] / 255,
        "labels": None if classes is None else labels.astype(int),
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
