"""UniFormer around its network: what it is shown, and classes as colours at the picture's size."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import annotator.uniformer
from annotator.uniformer import (
    MEAN,
    STD,
    UniformerDetector,
    most_likely,
    network_size,
    read_palette,
)


@pytest.fixture
def detector(monkeypatch):
    """A detector without weights; `network` is to be set."""
    monkeypatch.setattr(annotator.uniformer, "load_network", lambda *args, **kwargs: None)
    return UniformerDetector()


def planted(labels, step=16):
    """Logits, (1, 150, h, w), of which the class of each cell of `labels` is the highest."""
    logits = torch.zeros(1, 150, *labels.shape).scatter(
        1, torch.from_numpy(labels)[None, None], 4.0
    )
    return F.interpolate(logits, scale_factor=step, mode="nearest")


def test_the_highest_class_becomes_its_colour(detector):
    labels = np.array([[0, 12, 149], [3, 6, 77]])
    detector.network = lambda x: planted(labels)
    picture = detector(np.zeros((512, 768, 3), np.uint8))
    assert picture.dtype == np.uint8 and picture.shape == (512, 768, 3)
    _, palette = read_palette()
    assert (picture[128::256, 128::256] == palette[labels]).all()
    assert (
        detector.labels([np.zeros((512, 768, 3), np.uint8)])[0, 128::256, 128::256] == labels
    ).all()


def test_the_palette_is_that_of_ade20k():
    names, palette = read_palette()
    assert palette.shape == (150, 3) and len(names) == 150
    assert names[0] == "wall" and palette[0].tolist() == [120, 120, 120]
    assert palette[6].tolist() == palette[48].tolist() == [140, 140, 140]


def test_most_likely_is_the_argmax_of_all_resized_logits():
    logits = torch.randn(2, 150, 9, 13)
    sizes = [(32, 40), (21, 50)]
    whole = logits
    for size in sizes:
        whole = F.interpolate(whole, size, mode="bilinear", align_corners=False)
    assert torch.equal(most_likely(logits, sizes), whole.argmax(dim=1).byte())
    assert not most_likely(torch.ones(1, 3, 4, 4), sizes).any()  # of equal ones the first


def test_logits_take_the_size_of_the_network_input_before_that_of_the_picture(detector):
    logits = torch.randn(1, 150, 9, 512)
    detector.network = lambda x: logits
    labels = detector.labels([np.zeros((40, 2100, 3), np.uint8)])
    assert torch.equal(torch.from_numpy(labels), most_likely(logits, [(39, 2048), (40, 2100)]))
    assert not torch.equal(torch.from_numpy(labels), most_likely(logits, [(40, 2100)]))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (512, 512)),
        ((100, 150), (512, 768)),
        ((300, 3000), (205, 2048)),
        ((1000, 1001), (512, 513)),
        ((2, 2000), (32, 2048)),
    ],
)
def test_sizes_of_the_network_input(size, expected):
    """205 = 300 * 2048 / 3000 rounded, 513 = 1001 * 0.512 rounded; strides need at least 32."""
    assert network_size(*size) == expected


@pytest.mark.parametrize("swap_channels", [True, False])
def test_what_the_network_sees(detector, swap_channels):
    """The published code shows B, G, R, scaled with the means that belong to R, G, B."""
    seen = []
    detector.network = lambda x: seen.append(x) or torch.zeros(1, 150, 4, 4)
    detector.swap_channels = swap_channels
    detector(np.full((64, 64, 3), (200, 100, 50), np.uint8))
    colour = (50, 100, 200) if swap_channels else (200, 100, 50)
    expected = [(c - m) / s for c, m, s in zip(colour, MEAN, STD, strict=True)]
    assert seen[0].shape == (1, 3, 512, 512) and seen[0][0, :, 5, 9].tolist() == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 3)])
def test_any_size_and_channels(detector, size):
    def network(x):
        assert min(x.shape[2:]) >= 32
        return F.avg_pool2d(x, 4).repeat(1, 50, 1, 1) * torch.linspace(0.5, 1, 150).view(-1, 1, 1)

    detector.network = network
    grey = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    picture = detector(grey)
    assert picture.shape == (*size, 3)
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=2)
    assert (detector(rgba) == picture).all()
    assert (detector.detect([grey, rgba[..., :3]])[1] == picture).all()
