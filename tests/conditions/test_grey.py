"""Edges and depth: one grey picture, shown to the branch as three equal channels."""

import numpy as np
import pytest
import torch

from conditions.grey import Depth, Edge
from core.samples import SampleKey
from dataset import MyDataset
from tests.picture_files import write

RAMP = np.arange(4096).reshape(64, 64).astype(np.uint8)  # 0..255, 16 times


@pytest.mark.parametrize("condition", [Edge(), Depth()], ids=lambda condition: condition.name)
def test_a_grey_picture_is_three_equal_channels(tmp_path, condition):
    hint = condition.read_hint(write(tmp_path / "e.png", RAMP))
    assert hint.dtype == np.float32
    assert hint.shape == (64, 64, 3)
    assert condition.hint_channels == 3
    for channel in range(3):
        assert np.array_equal(hint[..., channel], RAMP.astype(np.float32) / 255)


@pytest.mark.parametrize("condition", [Edge(), Depth()], ids=lambda condition: condition.name)
def test_colours_become_luma_and_16_bit_fills_the_range(tmp_path, condition):
    red = write(tmp_path / "c.png", np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert np.allclose(condition.read_hint(red), 0.299)
    deep = write(tmp_path / "d.tif", np.array([[0, 13107, 65535]], np.uint16))
    assert np.allclose(condition.read_hint(deep)[0, :, 0], [0, 0.2, 1])


@pytest.mark.parametrize("condition", [Edge(), Depth()], ids=lambda condition: condition.name)
def test_the_file_is_read_as_a_layer_that_views_interpolate(tmp_path, condition):
    layers = condition.read(write(tmp_path / "e.png", RAMP[:8]))
    assert layers.smooth.shape == (8, 64, 1)
    assert layers.classes.shape == (8, 64, 0)
    assert condition.check(tmp_path / "e.png") == (8, 64)


@pytest.mark.parametrize("condition", [Edge(), Depth()], ids=lambda condition: condition.name)
def test_what_is_stored_and_shown_is_the_picture(tmp_path, condition):
    hint = condition.read_hint(write(tmp_path / "e.png", RAMP))
    assert condition.folders("branch") == ("branch",)
    assert condition.label_folders("branch") == ()
    (stored,) = condition.pictures("branch", hint).values()
    assert stored.dtype == np.uint8
    assert np.array_equal(stored, RAMP)
    assert np.array_equal(condition.preview(hint), np.stack([RAMP] * 3, axis=2))
    assert condition.labels(hint) is None


def test_edges_may_be_missing_or_bits(tmp_path):
    edge = Edge()
    assert edge.read_hint(write(tmp_path / "none.png", np.zeros((4, 4), np.uint8))).max() == 0
    assert edge.read_hint(write(tmp_path / "bit.png", np.eye(4) > 0)).max() == 1


def test_edges_of_grey_level_1_are_refused(tmp_path):
    dark = write(tmp_path / "dark.png", np.eye(4, dtype=np.uint8))
    with pytest.raises(ValueError, match="dark.png: the brightest edge is 1 of 255"):
        Edge().read_hint(dark)
    assert Depth().read_hint(dark).max() == np.float32(1 / 255)  # a flat scene is no mistake


def test_edges_stay_in_range_when_augmented(tmp_path):
    for i in range(2):
        edges = (np.random.default_rng(i).random((64, 90)) > 0.9).astype(np.uint8) * 255
        write(tmp_path / f"images/{i}.png", edges)
        write(tmp_path / f"edges/{i}.png", edges)
    folders = tmp_path / "images", tmp_path / "edges"
    data = MyDataset(*folders, augment=True, condition_type="edge", image_size=50)
    for seed in range(20):
        sample = data[SampleKey(seed % 2, seed)]
        hint = sample.hint
        assert hint.shape == (50, 50, 3)
        assert hint.min() >= 0
        assert 0 < hint.max() <= 1
        assert torch.equal(hint[..., 0], hint[..., 2])
        assert torch.allclose(sample.image, hint * 2 - 1)  # both are seen through one view
