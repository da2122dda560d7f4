"""HED around its network: side outputs become one probability; scribbles lie on the outline."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

import annotator.hed
from annotator.hed import HEDdetector, fake_scribble, fuse, nms
from annotator.synthetic_maps import edge_maps

HEIGHT, WIDTH = 96, 160
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
# About the distance to an ellipse, in pixels.
ELLIPSE = (np.sqrt(((COLUMNS - 80) / 50) ** 2 + ((ROWS - 48) / 30) ** 2) - 1) * 38


@pytest.fixture
def detector(monkeypatch):
    """A detector without weights; `network` is to be set."""
    monkeypatch.setattr(annotator.hed, "load_network", lambda *args: None)
    return HEDdetector()


def test_an_ellipse_comes_out_where_it_is(detector):
    detector.network = lambda x: edge_maps(ELLIPSE)
    edge = detector(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert edge.dtype == np.uint8 and edge.shape == (HEIGHT, WIDTH)
    assert edge[np.abs(ELLIPSE) < 0.5].min() > 200
    assert edge[np.abs(ELLIPSE) > 20].max() < 20


def test_side_outputs_are_averaged_as_logits_and_truncated():
    """sigmoid((2 + 0 - 1 + 0 + 0) / 5) = 0.549834, times 255 is 140.2.

    The mean of probabilities would give 137.
    """
    sides = [
        np.full((size, 2 * size), value, np.float32)
        for size, value in zip((32, 16, 8, 4, 2), (2, 0, -1, 0, 0), strict=True)
    ]
    assert (fuse(sides, 32, 64) == 140).all()
    assert (fuse([np.full((4, 4), 0.02, np.float32)], 4, 4) == 128).all()  # 128.77


def test_side_outputs_are_scaled_linearly_between_pixel_centres():
    edge = fuse([np.array([[0.0, 4.0]], np.float32)], 1, 4)
    assert edge.tolist() == [(255 / (1 + np.exp([-0.0, -1.0, -3.0, -4.0]))).astype(int).tolist()]


def test_crests_and_scribbles_follow_the_ellipse():
    edge = (255 * np.exp(-((ELLIPSE / 6) ** 2))).astype(np.uint8)
    crests, scribble = nms(edge, 127, 3.0), fake_scribble(edge)
    for strokes in (crests, scribble):
        assert strokes.dtype == np.uint8 and set(np.unique(strokes)) == {0, 255}
    # At the poles a whole column is highest along the rows.
    assert np.abs(ELLIPSE[crests > 0]).max() < 6
    assert distance_transform_edt(crests == 0)[np.abs(ELLIPSE) < 0.5].max() < 3  # it is closed
    assert np.abs(ELLIPSE[scribble > 0]).max() < 12
    assert (scribble[np.abs(ELLIPSE) < 1] == 255).all()


def test_a_crest_is_highest_in_one_direction_and_above_the_threshold():
    ridge = np.zeros((21, 21), np.uint8)
    ridge[:, 10] = 200
    crests = nms(ridge, 50, 1.0)  # the blur leaves 80
    assert (crests[:, 10] == 255).all() and not crests[:, :9].any() and not crests[:, 12:].any()
    assert not nms(ridge, 90, 1.0).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (17, 31)])
def test_any_size_and_channels(detector, size):
    def network(x):
        assert min(x.shape[2:]) >= 16
        return [x[:, :1, s // 2 :: s, s // 2 :: s] / 64 for s in (1, 2, 4, 8, 16)]

    detector.network = network
    grey = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    edge = detector(grey)
    assert edge.shape == size
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=2)
    assert (detector(rgba) == edge).all() and (detector(rgba[..., :3]) == edge).all()


def test_the_network_sees_rgb_in_0_to_255(detector):
    seen = []
    detector.network = lambda x: seen.append(x) or [torch.zeros(len(x), 1, 16, 16)]
    detector.detect([np.full((16, 16, 3), (255, 128, 0), np.uint8)] * 2)
    assert seen[0].shape == (2, 3, 16, 16) and seen[0][1, :, 3, 4].tolist() == [255, 128, 0]
