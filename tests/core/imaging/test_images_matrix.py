"""Every kind of image file: each cell is a file and what must be read from it, or a refusal."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.imaging.images import (
    IMAGE_SUFFIXES,
    check_image,
    image_size,
    read_four_channels,
    read_image,
)
from core.imaging.labels import read_labels
from tests.core.imaging.file_cells import TURNS, Cell, exif, meaning, png, random
from tests.core.imaging.png_cells import palette_cells, png_cells
from tests.core.imaging.tiff_cells import other_tiff_cells, page_cells, tiff_cells

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
