"""Stacks whose smoothness is known."""

import cv2
import numpy as np
import pytest

from core.imaging.images import write_png
from volumes.continuity import correlation, flow_residual, read_stack


def texture(count, size=64):
    """Smooth random pictures, float32 (count, size, size) in [0, 1]."""
    rng = np.random.default_rng(0)
    small = rng.random((count, size // 4, size // 4)).astype(np.float32)
    return np.stack([cv2.resize(x, (size, size)) for x in small])


def test_equal_slices_and_unrelated_ones():
    one, many = texture(1), texture(10)
    assert correlation(np.repeat(one, 4, 0), 2) == pytest.approx(1)
    assert abs(correlation(many, 1)) < 0.15
    assert correlation(many, 10) is None


def test_correlation_falls_with_the_distance():
    a, b = (np.random.default_rng(seed).normal(size=(128, 128)) for seed in (0, 1))
    turning = np.stack([np.cos(0.2 * z) * a + np.sin(0.2 * z) * b for z in range(9)])
    for distance in (1, 2, 4):
        assert correlation(turning, distance) == pytest.approx(np.cos(0.2 * distance), abs=0.03)


def test_what_only_moves_leaves_no_residual():
    wide = texture(1, 128)[0]
    moved = np.stack([wide[20:84, 20 + z : 84 + z] for z in range(4)])
    assert flow_residual(moved) < 0.25 * flow_residual(texture(4))
    assert flow_residual(np.repeat(moved[:1], 3, 0)) < 0.01


def test_stacks_that_cannot_be_compared_are_refused(tmp_path):
    write_png(tmp_path / "z0.png", np.full((64, 64), 5, np.uint8))
    with pytest.raises(ValueError, match="holds one image"):
        read_stack(tmp_path)
    for shape, message in (((8, 8), "z1.png: 8 x 8 pixels"), ((64, 64), "all pixels are equal")):
        write_png(tmp_path / "z0.png", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
        write_png(tmp_path / "z1.png", np.zeros(shape, np.uint8))
        with pytest.raises(ValueError, match=message):
            read_stack(tmp_path)
