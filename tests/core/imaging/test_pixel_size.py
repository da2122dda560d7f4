"""Pixel sizes, and those that files state."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.imaging.pixel_size import PixelSize, in_nm, pixel_size_of_file

PIXELS = np.zeros((8, 8), np.uint8)


def tiff(path, **tags):
    tifffile.imwrite(path, PIXELS, **tags)
    return path


def test_units():
    assert in_nm(0.004, "micrometer") == pytest.approx(4) and in_nm(40, "Å") == pytest.approx(4)
    assert in_nm(4, " NM ") == 4
    for value, unit in ((1, "pixel"), (0, "nm"), (-1, "nm"), (1, "mm"), ("4", "nm"), (1, None)):
        assert in_nm(value, unit) is None


def test_tiff_files(tmp_path):
    imagej = {"imagej": True, "metadata": {"unit": "um"}, "resolution": (1 / 0.005, 1 / 0.004)}
    assert pixel_size_of_file(tiff(tmp_path / "a.tif", **imagej)) == pytest.approx((4, 5))
    imagej |= {"metadata": {"unit": "nm", "yunit": "um"}, "resolution": (1 / 8, 1 / 0.008)}
    assert pixel_size_of_file(tiff(tmp_path / "a.tif", **imagej)) == pytest.approx((8, 8))
    per_cm = {"resolution": (1e7 / 8, 1e7 / 8), "resolutionunit": "CENTIMETER"}
    assert pixel_size_of_file(tiff(tmp_path / "b.tif", **per_cm)) == pytest.approx((8, 8))
    metadata = {"PhysicalSizeX": 0.01, "PhysicalSizeY": 0.02}
    assert pixel_size_of_file(
        tiff(tmp_path / "c.ome.tif", ome=True, metadata=metadata)
    ) == pytest.approx((20, 10))


def test_printers_and_screens_state_no_pixel_size(tmp_path):
    dpi = {"resolution": (300, 300), "resolutionunit": "INCH"}
    assert pixel_size_of_file(tiff(tmp_path / "a.tif", **dpi)) is None
    assert pixel_size_of_file(tiff(tmp_path / "b.tif")) is None
    Image.fromarray(PIXELS).save(tmp_path / "c.png", dpi=(72, 72))
    assert pixel_size_of_file(tmp_path / "c.png") is None
    Image.fromarray(PIXELS).save(tmp_path / "d.jpg", dpi=(72, 72))
    assert pixel_size_of_file(tmp_path / "d.jpg") is None


def test_png_files(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=(2.54e7 / 8, 2.54e7 / 4))  # x, y
    assert pixel_size_of_file(tmp_path / "a.png") == pytest.approx((4, 8), rel=1e-4)


def test_likeness_and_text():
    assert PixelSize(10, 10).is_like(PixelSize(11, 9.1))
    assert not PixelSize(10, 10).is_like(PixelSize(10, 11.01))
    assert PixelSize(10, 10).is_same(PixelSize(10, 10.05))
    assert not PixelSize(10, 10).is_same(PixelSize(10, 10.2))
    assert not PixelSize(10, 10).is_same(None)
    assert str(PixelSize(8, 8)) == "8 nm" and str(PixelSize(30, 4)) == "30 x 4 nm (height x width)"


@pytest.mark.parametrize(
    ("tag", "note", "expected"),
    [
        (34682, "[Scan]\r\nPixelWidth=5e-009\r\nPixelHeight=4e-009\r\n", (4, 5)),
        (34118, "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 5.000 nm\r\n", (5, 5)),
        (34118, "AP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = ?\r\n", (10, 10)),
    ],
    ids=["FEI", "Zeiss", "nothing"],
)
def test_notes_of_microscopes_win_over_the_resolution(tmp_path, tag, note, expected):
    tags = {"extratags": [(tag, 2, 0, note, True)], "metadata": None}
    tifffile.imwrite(
        tmp_path / "a.tif", PIXELS, resolution=(1e6, 1e6), resolutionunit="centimeter", **tags
    )
    assert pixel_size_of_file(tmp_path / "a.tif") == pytest.approx(expected)
