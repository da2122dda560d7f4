"""The segmenter's data."""

import numpy as np
import pytest
import torch

from core.images import write_png
from segmentation.data import (
    SegmentationDataset,
    disturb,
    gather_pairs,
    read_input,
    read_target,
    reflect_to,
)
from tests.blobs import write_pairs


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


def test_colours_are_read_as_luma_and_grey_exactly(tmp_path):
    write_png(tmp_path / "green.png", np.full((2, 3, 3), (0, 255, 0), np.uint8))
    assert read_input(tmp_path / "green.png") == pytest.approx(torch.full((1, 2, 3), 0.587))
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_png(tmp_path / "grey.png", grey)
    assert torch.equal(read_input(tmp_path / "grey.png"), torch.from_numpy(grey)[None] / 255)


def test_image_and_mask_are_cut_turned_and_flipped_alike(tmp_path):
    """The image shows the mask's classes as grey levels, so a sample can be checked by itself."""
    mask = np.random.default_rng(0).integers(0, 3, (40, 50))
    data = SegmentationDataset(write_pairs(tmp_path, [mask * 100], [mask]), 3, crop=32)
    samples = [data[0] for _ in range(12)]
    for image, target in samples:
        assert image.shape == (1, 32, 32) and target.dtype == torch.int64
        assert torch.equal((image[0] * 2.55).round().long(), target)
    assert len({target.numpy().tobytes() for _, target in samples}) > 8


def test_pairs_of_several_folders_are_one_list(tmp_path):
    zeros = np.zeros((4, 4))
    first = write_pairs(tmp_path / "a", [zeros] * 2, [zeros] * 2)
    second = write_pairs(tmp_path / "b", [zeros], [zeros + 2])
    folders = [tmp_path / "a", tmp_path / "b"]
    images, masks = ([folder / kind for folder in folders] for kind in ("images", "masks"))
    pairs = gather_pairs(images, masks, num_classes=3)
    assert pairs == [*first, *second]
    assert read_target(pairs[2].condition, 3).tolist() == [[2] * 4] * 4
    with pytest.raises(ValueError, match="00.png"):
        gather_pairs(images, masks, num_classes=2)
