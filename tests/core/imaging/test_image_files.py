"""Hostile files: nothing is started, nothing hangs, and every fault is one line with the path."""

import io
import os
import struct
import subprocess
import sys
import zlib
from functools import cache

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from core.imaging.image_header import MAX_PIXELS_VARIABLE
from core.imaging.images import check_image, image_size, read_image
from core.imaging.labels import read_labels
from tests.core.imaging.file_cells import chunk

READERS = (read_image, read_labels, check_image, image_size)
SIDE = 12_000  # of a square with more than `MAX_PIXELS`
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("read", READERS)
def test_postscript_starts_no_program(tmp_path, monkeypatch, read):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", pytest.fail)
    Image.fromarray(PIXELS).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a.png: .*neither PNG, TIFF, JPEG nor BMP"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_pipes_and_folders_are_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(ValueError, match=f"{name}: .*no regular file"):
            read(tmp_path / name)


@cache
def bomb(kind):
    """A black picture of far less than a megabyte."""
    if kind == "tif":
        content = io.BytesIO()
        black = np.zeros((SIDE, SIDE), np.uint8)
        tifffile.imwrite(content, black, compression="zlib", rowsperstrip=1000)
        return content.getvalue()
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(b"\0" * (SIDE + 1)) for _ in range(SIDE)) + packer.flush()
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("read", READERS)
def test_a_small_file_of_many_pixels_is_refused_with_a_way_out(tmp_path, kind, read):
    path = tmp_path / "a.png"
    path.write_bytes(bomb(kind))
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match=rf"a.png: {SIDE} x .*{MAX_PIXELS_VARIABLE}={SIDE**2}"):
        read(path)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_the_environment_raises_the_limit(tmp_path, monkeypatch, kind):
    path = tmp_path / "a.png"
    path.write_bytes(bomb(kind))
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, str(SIDE**2))
    assert image_size(path) == check_image(path) == (SIDE, SIDE)
    monkeypatch.setenv(MAX_PIXELS_VARIABLE, "many")
    with pytest.raises(ValueError, match=f"{MAX_PIXELS_VARIABLE} is 'many', expected a number"):
        image_size(path)


def test_a_large_file_may_have_many_pixels(tmp_path):
    picture = tifffile.memmap(tmp_path / "a.tif", shape=(SIDE, SIDE), dtype=np.uint8, metadata=None)
    picture[-1, -1] = 255
    picture.flush()
    assert check_image(tmp_path / "a.tif") == (SIDE, SIDE)
    pixel = subprocess.run(  # whose memory is given back
        [
            sys.executable,
            "-c",
            "import sys; from core.imaging.image_files import decode; from pathlib import Path;"
            "print(decode(Path(sys.argv[1])).pixels[-1, -1])",
            tmp_path / "a.tif",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert pixel.stdout == "[255]\n"


def encoded(kind):
    content = io.BytesIO()
    if kind == "TIFF":
        tifffile.imwrite(content, PIXELS, compression="lzw", rowsperstrip=4)
    elif kind == "deep PNG":
        return cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()
    else:
        Image.fromarray(PIXELS).save(content, format=kind)
    return content.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "deep PNG", "TIFF", "JPEG", "BMP"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_end_in_a_value_error(tmp_path_factory, kind, data):
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(
            st.one_of(st.integers(0, min(120, len(content) - 1)), st.integers(0, len(content) - 1))
        )
        content[where] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(content)
    for read in READERS:
        try:
            read(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_no_flipped_byte_of_a_png_changes_pixels_unnoticed(tmp_path):
    """Decoders stop at the last pixel, before the checksum that follows it."""
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    content, expected = (tmp_path / "a.png").read_bytes(), read_image(tmp_path / "a.png")
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        (tmp_path / "a.png").write_bytes(damaged)
        try:
            assert np.array_equal(read_image(tmp_path / "a.png"), expected)
        except ValueError as error:
            assert "a.png" in str(error)
    for missing in range(5, 30):  # the last four bytes check that the end is the end
        (tmp_path / "a.png").write_bytes(content[:-missing])
        with pytest.raises(ValueError, match=r"a\.png"):
            read_image(tmp_path / "a.png")
