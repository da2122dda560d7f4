"""Images in memory, their views and latents."""

import pytest
import torch

from core.images import list_images
from training.base.data import Latents, Views, read_images, shuffled
from training.base.unet import build_base


def test_views_cover_the_range_and_have_the_size_asked_for(pairs):
    images = read_images(list_images(pairs / "images"), smallest=64)
    assert all(image.dtype == torch.uint8 and image.shape == (3, 64, 64) for image in images)
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).repeat(3, 64, 32)  # (3, 64, 64)
    view = Views([black_and_white], 32)[0]
    assert view.shape == (3, 32, 32) and view.unique().tolist() == [-1, 1]
    with pytest.raises(ValueError, match="64 x 64 pixels, smaller than --image_size 65"):
        read_images(list_images(pairs / "images"), smallest=65)


def test_latents_repeat_views_and_drop_prompts(micro_yaml):
    first_stage = build_base(micro_yaml).first_stage_model
    views = torch.zeros(2, 3, 64, 64)
    for drop, expected in ((0.0, {"a cell"}), (1.0, {""})):
        latents = Latents(first_stage, views, 3, ["a cell"], drop)
        assert latents.moments.shape == (6, 8, 8, 8)
        assert {prompt for _, prompt in latents} == expected


def test_batches_are_full_unless_there_is_only_one():
    assert [len(batch) for batch in shuffled(range(7), 3)] == [3, 3]
    assert [len(batch) for batch in shuffled(range(2), 3)] == [2]
