"""The segmenter's data."""

import torch

from segmentation.data import disturb, reflect_to


def test_disturbed_images_differ_but_stay_in_range():
    image = torch.rand(1, 1, 16, 16).repeat(6, 1, 1, 1)
    torch.manual_seed(0)
    out = disturb(image)
    assert out.shape == image.shape and out.min() >= 0 and out.max() <= 1
    assert all(
        not torch.equal(out[0], other) for other in out[1:]
    )  # each image of a batch has its own disturbance


def test_reflection():
    x = torch.tensor([[1, 2, 3]])
    assert reflect_to(x, 2, 8).tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 2
    assert torch.equal(reflect_to(x, 1, 2), x)
