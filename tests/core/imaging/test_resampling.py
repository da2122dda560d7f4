"""Resampling to another pixel size: numbers that are known by hand."""

import numpy as np
import pytest

from core.command_line.options import OptionError
from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.imaging.resampling import Resampling, resampling_to


def test_half_the_pixels_are_means_of_areas_and_nearest_labels():
    pixels = np.array([[0, 1, 0.5, 0.5], [1, 0, 0.5, 0.1]], np.float32)
    half = Resampling(0.5, 0.5)
    assert half.size_of(2, 4) == (1, 2)
    assert half.image(pixels) == pytest.approx(np.array([[0.5, 0.4]]), abs=1e-6)
    labels = np.arange(16).reshape(4, 4)
    assert half.labels(labels).tolist() == [[5, 7], [13, 15]]
    assert Resampling(2, 1).labels(labels)[:, 0].tolist() == [0, 0, 4, 4, 8, 8, 12, 12]


def test_a_share_of_a_pixel_counts_as_that():
    row = np.array([[3, 0, 0, 0, 0]], np.float32)
    assert Resampling(1, 0.4).image(row) == pytest.approx(np.array([[1.2, 0]]), abs=1e-6)


def test_growing_keeps_levels_and_shape():
    for channels in ((), (0,), (1,), (3,), (7,)):
        pixels = np.full((3, 5, *channels), 0.25, np.float32)
        new = Resampling(2.4, 0.5).image(pixels)
        assert new.dtype == np.float32 and new.shape == (7, 2, *channels)
        assert np.allclose(new, 0.25)
        assert Resampling(2.4, 0.5).labels(pixels).shape == new.shape
    assert Resampling(0.01, 0.01).size_of(5, 5) == (1, 1)


def test_factors_of_a_folder(tmp_path):
    assert resampling_to(tmp_path, None) is None
    with pytest.raises(OptionError, match="does not say .*volume.json"):
        resampling_to(tmp_path, 8)
    write_json(tmp_path / VOLUME, {"pixel_size_nm": [4, 8]})
    assert resampling_to(tmp_path, 8) == Resampling(0.5, 1)
    write_json(tmp_path / VOLUME, {"pixel_size_nm": [8, 8]})
    assert resampling_to(tmp_path, 8) is None
