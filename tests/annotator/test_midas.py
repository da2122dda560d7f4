"""MiDaS around its network: the depth and the normals of a tilted plane, and of no depth at all."""

import math

import numpy as np
import pytest

import annotator.midas
from annotator.midas import MidasDetector, depth_and_normal

ROWS, COLUMNS = np.mgrid[:64, :96].astype(np.float32)


def test_a_tilted_plane():
    """3 x 3 Sobel filters give eight times the slope."""
    d = 5 + 0.5 * COLUMNS - 0.25 * ROWS
    depth, normal = depth_and_normal(d, a=3.0, bg_th=0.0)
    n = (d - d.min()) / (d.max() - d.min())
    assert depth.dtype == normal.dtype == np.uint8
    assert np.abs(depth - n * 255).max() <= 1 and depth.min() == 0 and depth.max() == 255
    expected = np.array([4, -2, 3]) / math.sqrt(29) * 127.5 + 127.5  # x, y, z
    assert (normal[1:-1, 1:-1] == expected.astype(np.uint8)).all()


def test_the_background_faces_the_viewer():
    d = COLUMNS.copy()
    _, normal = depth_and_normal(d, a=1.0, bg_th=0.5)
    background = d / d.max() < 0.5
    assert (normal[background] == (127, 127, 255)).all()
    slope = normal[1:-1, 1:-1][~background[1:-1, 1:-1]]
    assert (slope == (254, 127, 143)).all()  # (8, 0, 1) / sqrt(65)


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_a_constant_map_has_no_depth(value):
    with np.errstate(all="raise"):
        depth, normal = depth_and_normal(np.full((8, 9), value, np.float32), a=1.0, bg_th=0.1)
    assert not depth.any() and (normal == (127, 127, 255)).all()


@pytest.fixture
def detector(monkeypatch):
    """A detector whose network gives the red channel; it takes multiples of 32 and [-1, 1] only."""

    def network(x):
        assert x.shape[2] % 32 == x.shape[3] % 32 == 0 and x.min() >= -1 and x.max() <= 1
        return x[:, 0]

    monkeypatch.setattr(annotator.midas, "load_network", lambda *args: network)
    return MidasDetector()


def test_depth_of_a_picture_is_its_own_brightness(detector):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[..., 0] = COLUMNS
    depth, normal = detector(picture)
    assert np.abs(depth - COLUMNS * 255 / 95).max() <= 1
    assert normal.shape == (64, 96, 3)
    assert (normal[1:-1, 20:-1, 1] == 127).all() and (normal[1:-1, 20:-1, 0] > 127).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (33, 47)])
def test_any_size_and_channels(detector, size):
    grey = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    depth, normal = detector(grey)
    assert depth.shape == size and normal.shape == (*size, 3)
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=2)
    assert (detector(rgba)[0] == depth).all()
    assert (detector.detect([rgba[..., :3], grey])[1][1] == normal).all()
