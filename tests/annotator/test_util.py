"""Any 8-bit picture as RGB, and the published rule of sizes."""

import numpy as np
import pytest

from annotator.util import HWC3, resize_image


def test_grey_is_copied_and_rgb_stays():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for picture in (grey, grey[..., None]):
        assert (HWC3(picture) == np.stack([grey] * 3, axis=2)).all()
    rgb = HWC3(grey)
    assert HWC3(rgb) is rgb


def test_rgba_is_laid_on_white():
    rgba = np.array([[[10, 20, 30, 128], [1, 2, 3, 255], [1, 2, 3, 0]]], dtype=np.uint8)
    assert HWC3(rgba).tolist() == [[[132, 137, 142], [1, 2, 3], [255, 255, 255]]]
    assert HWC3(rgba).dtype == np.uint8


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3), (0, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected"):
        HWC3(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, bool])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match=f"{np.dtype(dtype)}, expected uint8"):
        HWC3(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((480, 640), 512, (512, 704)),
        ((1000, 700), 512, (704, 512)),
        ((544, 512), 512, (512, 512)),  # 8.5 rounds to even
        ((608, 512), 512, (640, 512)),  # and so does 9.5
        ((512, 480), 480, (512, 512)),
        ((300, 40), 64, (512, 64)),
        ((100, 100), 20, (64, 64)),  # the published rule gives 0
    ],
)
def test_sizes(size, resolution, expected):
    assert resize_image(np.zeros((*size, 3), np.uint8), resolution).shape == (*expected, 3)


def test_shrinking_averages_and_enlarging_keeps_flat_areas():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (resize_image(stripes, 64) == 100).all()
    assert (resize_image(np.full((64, 64, 3), 77, np.uint8), 128) == 77).all()
