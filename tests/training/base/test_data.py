"""Images in memory, their views and latents."""

import pytest
import torch

from core.imaging.images import list_images
from training.base.data import Latents, Views, load, read_images
from training.base.unet import build_base
from training.step.latents import LatentCache


def test_views_cover_the_range_and_have_the_size_asked_for(pairs):
    images = read_images(list_images(pairs / "images"), smallest=64)
    assert all(image.dtype == torch.uint8 and image.shape == (3, 64, 64) for image in images)
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).repeat(3, 64, 32)  # (3, 64, 64)
    view, seed = Views([black_and_white], 32)[0, 5]
    assert seed == 5
    assert view.shape == (3, 32, 32) and view.unique().tolist() == [-1, 1]
    with pytest.raises(ValueError, match="64 x 64 pixels, smaller than --image_size 65"):
        read_images(list_images(pairs / "images"), smallest=65)


def test_a_view_depends_on_its_seed_alone():
    images = [torch.randint(256, (3, 40, 50), dtype=torch.uint8) for _ in range(2)]
    views = Views(images, 32)
    seen = [views[1, seed][0] for seed in range(20)]
    assert all(torch.equal(views[1, seed][0], seen[seed]) for seed in (19, 3, 0))
    assert len({view.numpy().tobytes() for view in seen}) > 15


def test_latents_repeat_views_and_drop_prompts(micro_yaml, tmp_path):
    first_stage = build_base(micro_yaml).first_stage_model
    views = Views([torch.zeros(3, 64, 64, dtype=torch.uint8)] * 2, 64)
    for drop, expected in ((0.0, {"a cell"}), (1.0, {""})):
        latents = Latents(first_stage, views, 0, LatentCache(0, tmp_path), 3, ["a cell"], drop)
        items = [latents[index, seed] for index, seed in enumerate(range(10, 16))]
        assert len(latents) == 6
        assert {moments.shape for moments, _, _ in items} == {(8, 8, 8)}
        assert {prompt for _, prompt, _ in items} == expected
        assert [seed for _, _, seed in items] == list(range(10, 16))


def test_batches_are_full_however_few_images_there_are():
    views = Views([torch.zeros(3, 8, 8, dtype=torch.uint8)] * 2, 8)
    batches = list(load(views, 3, 5, 0, "test"))
    assert [len(images) for images, _ in batches] == [3] * 5
