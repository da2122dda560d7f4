"""Augmentations of the segmenter's crops."""

import pytest
import torch
from torchvision.transforms import v2

from core.imaging.labels import IGNORE
from segmentation.augmentation import AUGMENTATIONS, _Elastic, cut_warped


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_shaded_images_differ_but_stay_in_range(augmentation):
    image = torch.rand(1, 1, 32, 32).repeat(20, 1, 1, 1)
    torch.manual_seed(0)
    out = augmentation.shade(image)
    assert out.shape == image.shape and out.min() >= 0 and out.max() <= 1
    assert len({x.numpy().tobytes() for x in out}) > 12  # each image has its own disturbance


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_values_that_interpolation_left_outside_the_range_do_no_harm(augmentation):
    image = torch.cat([torch.full((1, 1, 32, 16), -1e-6), torch.full((1, 1, 32, 16), 1 + 1e-6)], 3)
    torch.manual_seed(0)
    out = augmentation.shade(image.repeat(60, 1, 1, 1))
    assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1


def test_image_and_mask_are_warped_alike():
    """Both show the same three bands; bilinear images differ from nearest masks at edges alone."""
    mask = (torch.arange(300)[:, None] // 100).expand(300, 300).to(torch.uint8)
    image = mask[None] / 2.0
    turned = 0
    for seed in range(40):
        torch.manual_seed(seed)
        x, y = cut_warped(image, mask, 64)
        assert x.shape == (1, 64, 64) and y.shape == (64, 64)
        inside = y != IGNORE
        assert set(y[inside].unique().tolist()) <= {0, 1, 2}
        assert ((x[0] * 2 - y).abs()[inside] > 0.51).float().mean() < 0.02
        rows, columns = (y.float().diff(dim=dim).ne(0).any() for dim in (0, 1))
        turned += bool(rows and columns)  # bands that are neither upright nor level
    assert turned >= 5  # a fifth of the crops is turned by any angle; not all show an edge


def test_pixels_from_beyond_the_image_are_ignored():
    """A small image, extended by reflection, has no outside, so a scaled-down crop makes one."""
    image, mask = torch.ones(1, 64, 64), torch.zeros(64, 64, dtype=torch.uint8)
    outside = []
    for seed in range(60):
        torch.manual_seed(seed)
        x, y = cut_warped(image, mask, 64)
        outside.append((y == IGNORE).any())
        assert (x[0][y == IGNORE] < 1).all() and (x[0][y == 0] > 0).all()
    assert any(outside) and not all(outside)


def test_elastic_displacements_are_those_of_torchvision():
    found = []
    # A square: torchvision 0.21, for Python 3.10, divides widths by heights and heights by widths.
    for transform in (_Elastic, v2.ElasticTransform):
        torch.manual_seed(0)
        found.append(transform(300.0, 4.0).make_params([torch.zeros(1, 48, 48)])["displacement"])
    assert found[1].abs().max() > 0.1
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)
