"""Dark lines are found along their middle; bright lines, steps, noise and short pieces are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from annotator.membrane import MembraneDetector

ROWS, COLUMNS = np.mgrid[:96, :128]
RADIUS = np.hypot(ROWS - 48, COLUMNS - 60)


def ring(depth=-80, noise=0.0):
    """A circle of radius 30, about 6 pixels wide, on grey 150."""
    picture = gaussian_filter(150.0 + depth * (abs(RADIUS - 30) < 3.0), 1.0)
    picture += noise * np.random.default_rng(0).standard_normal(picture.shape)
    return picture.clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("noise", [0, 15])
def test_follows_the_middle_of_a_dark_ring(noise):
    lines = MembraneDetector()(ring(noise=noise))
    assert lines.dtype == np.uint8 and lines.shape == (96, 128)
    assert set(np.unique(lines)) == {0, 255}
    assert abs(RADIUS[lines > 0] - 30).max() < 2  # pixels
    angles = np.degrees(np.arctan2(ROWS - 48, COLUMNS - 60))[lines > 0] % 360
    assert len(np.unique(angles // 10)) == 36  # all around


def test_brightness_and_contrast_do_not_matter():
    assert (MembraneDetector()(ring()) == MembraneDetector()(ring() // 2 + 20)).mean() > 0.999


def test_bright_lines_and_steps_are_no_membranes():
    lines = MembraneDetector()(ring(depth=80))
    assert not lines[abs(RADIUS - 30) < 3].any()
    step = (100 + 80 * (COLUMNS > 60)).astype(np.uint8)
    assert not MembraneDetector()(step)[:, 50:62].any()  # around it and on its bright side


def test_a_flat_picture_has_none():
    assert not MembraneDetector()(np.full((40, 50, 3), 90, np.uint8)).any()


def test_short_lines_are_left_out():
    lines = MembraneDetector()(ring(), min_length=0)
    assert lines.any() and not MembraneDetector()(ring(), min_length=1000).any()


def test_grey_and_rgba():
    picture = np.repeat(ring()[..., None], 3, axis=2)
    expected = MembraneDetector()(picture)
    assert expected.any() and (MembraneDetector()(ring()) == expected).all()
    opaque = np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=2)
    assert (MembraneDetector()(opaque) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 300), (200, 5)])
def test_any_size(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    assert MembraneDetector()(picture).shape == size
