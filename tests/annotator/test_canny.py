"""Canny on drawn pictures: outlines are found, and thresholds hold for the 3 x 3 Sobel filters."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from annotator.canny import CannyDetector


def disc(height=96, width=128, step=120):
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - 48, columns - 60) < 30
    return np.repeat((60 + step * inside)[..., None].astype(np.uint8), 3, axis=2), inside


def test_finds_the_outline_of_a_disc_and_nothing_else():
    picture, inside = disc()
    edges = CannyDetector()(picture, 100, 200)
    # The pixels on both sides.
    outline = binary_dilation(inside) & ~inside | inside & binary_dilation(~inside)
    assert edges.dtype == np.uint8 and edges.shape == (96, 128)
    assert set(np.unique(edges)) == {0, 255}
    assert not (edges > 0)[~outline].any()
    assert (binary_dilation(edges > 0, iterations=2) | ~outline).all()


@pytest.mark.parametrize(("step", "found"), [(50, True), (45, False)])
def test_threshold_is_four_times_the_step_of_a_straight_edge(step, found):
    picture = np.full((32, 32, 3), 90, np.uint8)
    picture[:, 16:] += step
    assert CannyDetector()(picture, 10, 190).any() == found


def test_the_steepest_channel_counts():
    """Red up and green down at equal luma: grey shows nothing."""
    picture = np.full((32, 32, 3), 100, np.uint8)
    picture[:, 16:, 0] = 200
    picture[:, 16:, 1] = 49
    assert CannyDetector()(picture).any()


def test_grey_and_rgba():
    picture, _ = disc()
    expected = CannyDetector()(picture)
    assert (CannyDetector()(picture[..., 0]) == expected).all()
    opaque = np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=2)
    assert (CannyDetector()(opaque) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 500), (700, 5)])
def test_any_size(size):
    assert CannyDetector()(np.full((*size, 3), 5, np.uint8)).shape == size
