"""TIFF files of every kind of samples, storage and structure of pages."""

import io
import itertools
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile

from tests.core.imaging.file_cells import HEIGHT, WIDTH, Cell, meaning, random, tiff

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
