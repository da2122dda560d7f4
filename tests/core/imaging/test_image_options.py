"""Bit depth and largest picture: from the command line to all readers and worker processes."""

import numpy as np
import pytest
import tifffile

from core.command_line.options import new_parser, read_options
from core.hardware.workers import in_workers
from core.imaging.image_header import BIT_DEPTH_VARIABLE, MAX_PIXELS_VARIABLE
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import image_size, read_grey, read_image, write_png
from core.imaging.labels import read_labels


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Whatever a test applies is undone."""
    for name in (BIT_DEPTH_VARIABLE, MAX_PIXELS_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def camera_file(tmp_path):
    """12 bits in a 16-bit file; one pixel has full intensity."""
    tifffile.imwrite(tmp_path / "a.tif", np.array([[4095, 0]], np.uint16))
    return tmp_path / "a.tif"


def apply(*words):
    parser = new_parser(__doc__)
    add_image_options(parser)
    read_options(ImageOptions, parser.parse_args(words)).apply()


@pytest.mark.parametrize("name", ["--bit_depth", "--bit-depth"])
def test_bit_depth_reaches_readers_and_workers(camera_file, name):
    list(in_workers(read_grey, [camera_file], 2))  # the workers' origin is older than the options
    apply(name, "12")
    assert read_grey(camera_file).tolist() == [[1, 0]]
    assert read_labels(camera_file).tolist() == [[4095, 0]]
    read = in_workers(read_grey, [camera_file] * 2, 2)
    assert [picture.max() for picture in read] == [1, 1]
    apply()
    assert read_grey(camera_file).max() == pytest.approx(4095 / 65535)


def test_bit_depth_leaves_8_bits_alone(tmp_path):
    write_png(tmp_path / "a.png", np.full((2, 2), 255, np.uint8))
    ImageOptions(bit_depth=12).apply()
    assert read_image(tmp_path / "a.png").min() == 1


def test_pixels_beyond_the_bit_depth_are_refused(camera_file):
    ImageOptions(bit_depth=10).apply()
    with pytest.raises(ValueError, match="a.tif: pixels reach 4095, but bit_depth is 10 bits"):
        read_image(camera_file)


def test_max_pixels_reaches_readers(tmp_path):
    side = 12_000
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((side, side), np.uint8), compression="zlib", tile=(1024, 1024)
    )
    with pytest.raises(ValueError, match=f"--max_pixels {side**2}"):
        image_size(tmp_path / "a.tif")
    apply("--max_pixels", str(side**2))
    assert image_size(tmp_path / "a.tif") == (side, side)
