"""Pixels: every format gives the numbers that were written; broken files are named."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.files import whole_file
from core.imaging.images import (
    IMAGE_SUFFIXES,
    check_image,
    image_size,
    list_images,
    read_four_channels,
    read_grey,
    read_image,
    to_uint8,
    write_png,
)
from core.imaging.labels import read_labels

RAMP = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def save(path, pixels):
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels, compression="lzw" if path.stem == "lzw" else None)
    else:
        Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tiff", "a.bmp"])
@pytest.mark.parametrize("colour", [False, True])
def test_8_bit_formats_are_exact(tmp_path, name, colour):
    pixels = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1) if colour else RAMP
    path = save(tmp_path / name, pixels)
    expected = pixels if colour else np.repeat(RAMP[..., None], 3, axis=2)
    image = read_image(path)
    assert image.dtype == np.float32 and np.array_equal(image, expected.astype(np.float32) / 255)
    assert image_size(path) == check_image(path) == (12, 20)
    if not colour:
        assert np.array_equal(read_labels(path), RAMP)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif"])
def test_16_bit_is_scaled_by_65535(tmp_path, name):
    deep = RAMP.astype(np.uint16) * np.uint16(257) + RAMP % 3  # not only multiples of 257
    path = save(tmp_path / name, deep)
    assert np.allclose(read_image(path)[..., 1], deep / 65535, atol=1e-7)
    assert np.array_equal(read_labels(path), deep)


@pytest.mark.filterwarnings("ignore:.*no 16-bit pixel is above")
def test_big_endian_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(">u2"), byteorder=">")
    assert np.array_equal(read_labels(tmp_path / "a.tif"), RAMP)
    assert np.allclose(read_image(tmp_path / "a.tif")[..., 0], RAMP / 65535)


def test_jpeg_is_close(tmp_path):
    smooth = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None], 40, axis=0)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg")[..., 0] * 255 - smooth).max() < 6


def test_tiff_layouts(tmp_path):
    rgb = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=-1)
    tifffile.imwrite(
        tmp_path / "planar.tif", np.moveaxis(rgb, -1, 0), planarconfig="separate", photometric="rgb"
    )
    assert np.array_equal(read_image(tmp_path / "planar.tif"), rgb.astype(np.float32) / 255)
    tifffile.imwrite(tmp_path / "white.tif", RAMP, photometric="miniswhite")
    assert np.allclose(read_image(tmp_path / "white.tif")[..., 0], 1 - RAMP / 255)
    assert np.array_equal(read_labels(tmp_path / "white.tif"), RAMP)  # as stored
    table = np.stack([np.arange(256), np.zeros(256), np.full(256, 255)]).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "palette.tif", RAMP, photometric="palette", colormap=table)
    assert np.allclose(read_image(tmp_path / "palette.tif")[..., 0], RAMP / 255)
    assert np.allclose(read_image(tmp_path / "palette.tif")[..., 2], 1)
    assert np.array_equal(read_labels(tmp_path / "palette.tif"), RAMP)


def test_palette_png_is_indices_or_colours(tmp_path):
    labels = (RAMP % 3).astype(np.uint8)
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png"), labels)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.eye(3, dtype=np.float32)[labels])


def grey_png(path, labels, bits):
    """Grey PNG of 2 or 4 bits per pixel, which Pillow reads but cannot write."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    per_byte = 8 // bits
    packed = sum(
        labels[:, i::per_byte].astype(np.uint8) << (8 - bits * (i + 1)) for i in range(per_byte)
    )
    rows = b"".join(b"\0" + row.tobytes() for row in packed.astype(np.uint8))
    header = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bit_masks_keep_their_indices(tmp_path, bits):
    labels = RAMP % 2**bits
    grey_png(tmp_path / "a.png", labels, bits)
    assert np.array_equal(read_labels(tmp_path / "a.png"), labels)
    assert np.allclose(read_image(tmp_path / "a.png")[..., 0], labels / (2**bits - 1))


def test_one_bit_is_zero_and_one(tmp_path):
    Image.fromarray(RAMP > 99).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png"), RAMP > 99)
    assert np.array_equal(read_image(tmp_path / "a.png")[..., 0], (RAMP > 99).astype(np.float32))


def test_grey_is_the_luma_of_colours_and_exact_for_grey_pictures(tmp_path):
    primaries = np.eye(3, dtype=np.uint8)[None] * 255  # (1, 3, 3): red, green, blue
    write_png(tmp_path / "colour.png", primaries)
    assert read_grey(tmp_path / "colour.png")[0] == pytest.approx([0.299, 0.587, 0.114])
    for name, pixels in (("grey.png", RAMP), ("rgb.png", np.repeat(RAMP[..., None], 3, axis=2))):
        write_png(tmp_path / name, pixels)
        assert np.array_equal(read_grey(tmp_path / name), RAMP.astype(np.float32) / 255)


def test_alpha_is_dropped_or_kept(tmp_path):
    four = np.stack([RAMP, RAMP // 2, RAMP // 3, 0 * RAMP], axis=-1)
    Image.fromarray(four, mode="RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), four[..., :3].astype(np.float32) / 255)
    assert np.array_equal(read_four_channels(tmp_path / "a.png"), four.astype(np.float32) / 255)
    write_png(tmp_path / "rgb.png", four[..., :3])
    with pytest.raises(ValueError, match=r"rgb.png: 3 channel\(s\), expected four"):
        read_four_channels(tmp_path / "rgb.png")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "a.jpg", "a.bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for read in (read_image, read_labels, check_image):
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as an image"):
            read(path)


def test_flipped_bit_in_a_png(tmp_path):
    path = save(
        tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for read in (read_image, check_image):
        with pytest.raises(ValueError, match="a.png: cannot be read"):
            read(path)


@pytest.mark.parametrize("read", [read_image, check_image])
def test_what_is_no_8_or_16_bit_slice(tmp_path, read):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="stack.tif: a stack of 5 pages.*one file per slice"):
        read(tmp_path / "stack.tif")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((8, 8), np.float32))
    with pytest.raises(ValueError, match="float.tif: pixels are float32"):
        read(tmp_path / "float.tif")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.png")


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db",
        "._a.png",
        ".a.tmp.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        ".Trash-1000/files/a.png",
        "__MACOSX/sub/a.png",
        "sub/@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
        "System Volume Information/a.png",
        "~snapshot/hourly.0/c.png",
    ],
)
def test_service_files_never_count(tmp_path, name):
    for path in (name, "sub/b.png", "c.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = list_images(tmp_path, (*IMAGE_SUFFIXES, ".db"), recursive=True)
    assert [path.name for path in found if path.suffix != ".db"] == ["c.png", "b.png"]


def test_list_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        list_images(tmp_path / "none")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        list_images(tmp_path)
    for name in ("b.TIF", "a.png", ".hidden.png", "c.npz"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.TIF"]
    assert [path.name for path in list_images(tmp_path, (".npz",))] == ["c.npz"]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.png").touch()
    assert [path.name for path in list_images(tmp_path, recursive=True)] == [
        "a.png",
        "b.TIF",
        "d.png",
    ]


def test_linked_folders_are_left_out(tmp_path):
    """A link to a folder that holds it would go on for ever."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "z.png").touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert list_images(tmp_path, recursive=True) == [tmp_path / "b" / "z.png"]


def test_links_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "notes.txt").symlink_to("absent")
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png"]
    (tmp_path / "c.png").symlink_to("absent.png")
    with pytest.raises(FileNotFoundError, match="c.png: a link to absent.png, which is not there"):
        list_images(tmp_path)


def test_whole_file_or_none(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_to_uint8_rounds_and_clips():
    picture = np.array([0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1, 1.01, -0.01], np.float32)
    pixels = to_uint8(picture)
    assert pixels.dtype == np.uint8 and pixels.tolist() == [0, 0, 1, 128, 255, 255, 255, 0]
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_uint8(levels.astype(np.float32) / 255), levels)


def deep(path, largest, **how):
    pixels = np.linspace(0, largest, RAMP.size).astype(np.uint16).reshape(RAMP.shape)
    tifffile.imwrite(path, pixels, photometric="minisblack", **how)
    return pixels


@pytest.mark.parametrize(("largest", "bits"), [(200, 8), (1000, 10), (4000, 12), (16000, 14)])
def test_pixels_that_look_like_fewer_bits_are_warned_of_once(tmp_path, largest, bits):
    pixels = deep(tmp_path / "a.tif", largest)
    deep(tmp_path / "b.tif", largest)
    with pytest.warns(UserWarning, match=f"a.tif: no 16-bit pixel .*{bits}-bit data") as found:
        as_stated = read_image(tmp_path / "a.tif")
        read_image(tmp_path / "b.tif")
    assert len(found) == 1
    assert as_stated[..., 0] == pytest.approx(pixels / 65535)  # warned of, not changed
    scaled = read_grey(tmp_path / "a.tif", bit_depth=bits)
    assert scaled == pytest.approx(pixels / (2**bits - 1))


@pytest.mark.filterwarnings("error")
def test_bright_or_stated_pixels_are_not_warned_of(tmp_path):
    deep(tmp_path / "bright.tif", 20000)
    deep(tmp_path / "black.tif", 0)
    deep(tmp_path / "stated.tif", 4000, extratags=[(281, "H", 1, 4095, True)])
    for name in ("bright", "black", "stated"):
        read_image(tmp_path / f"{name}.tif")
    read_labels(tmp_path / "bright.tif")


def test_a_bit_depth_must_hold_the_pixels(tmp_path):
    deep(tmp_path / "a.tif", 5000)
    for bits in (0, 12, 17):
        with pytest.raises(
            ValueError, match=f"a.tif: pixels reach 5000, but bit_depth is {bits} bits"
        ):
            read_image(tmp_path / "a.tif", bit_depth=bits)
    deep(tmp_path / "b.tif", 5000, extratags=[(281, "H", 1, 4095, True)])
    with pytest.raises(ValueError, match="5000, but the file states 12 .* or give --bit_depth 16."):
        read_image(tmp_path / "b.tif")


def test_bits_that_ome_states(tmp_path):
    path, pixels = tmp_path / "a.ome.tif", np.array([[0, 4095], [7, 2000]], np.uint16)
    for bits, full in ((12, 4095), (16, 65535), (4, 65535)):
        tifffile.imwrite(path, pixels, metadata={"axes": "YX", "SignificantBits": bits})
        assert read_grey(path) == pytest.approx(pixels / full)
