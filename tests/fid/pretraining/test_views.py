"""Views of images, and the order in which they come."""

from pathlib import Path

import pytest
import torch

from core.imaging.images import list_images
from fid.pretraining.views import GaussianNoise, SeededShard, Views, group_weights, view


def test_views_depend_on_index_and_seed_alone(em_folder):
    dataset = Views(list_images(em_folder, recursive=True), [view(32, 0.2, 1, 0.5, 0.2)] * 2)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second = dataset[0, 7]
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(dataset[0, 7][0], first)
    assert first.shape == (1, 32, 32) and not torch.equal(first, second)
    assert not torch.equal(dataset[0, 8][0], first)


def test_views_are_normalised():
    plain = view(16, 0.9, 1, 0.25, 0.5)
    grey = torch.full((1, 32, 32), 0.5)
    values = torch.stack([plain(grey) for _ in range(200)]) * 0.5 + 0.25
    assert values.min() >= 0 and values.max() <= 1
    assert values.median() == pytest.approx(0.5, abs=0.1)


def test_noise_is_weak_and_stays_in_range():
    noisy = torch.stack([GaussianNoise()(torch.full((1, 64, 64), 0.5)) for _ in range(100)])
    deviations = noisy.std(dim=(1, 2, 3))
    assert 1e-5**0.5 * 0.9 < deviations.min() < deviations.max() < 1e-4**0.5 * 1.1
    assert GaussianNoise()(torch.ones(1, 8, 8)).max() <= 1


def test_shards_share_an_epoch():
    shards = [SeededShard(11, seed=3, shard=i, shards=2) for i in range(2)]
    drawn = [list(shard) for shard in shards]
    assert [len(some) for some in drawn] == [len(shard) for shard in shards] == [5, 5]
    indices = [index for some in drawn for index, _ in some]
    assert len(set(indices)) == 10
    assert len({seed for some in drawn for _, seed in some}) == 10
    shards[0].set_epoch(1)
    assert list(shards[0]) != drawn[0]
    shards[0].set_epoch(0)
    assert list(shards[0]) == drawn[0]


def test_weighted_draws_follow_the_weights():
    weights = torch.tensor([0.5, 0.25, 0.25, 0.0], dtype=torch.float64)
    counts = torch.zeros(4)
    for epoch in range(500):
        shard = SeededShard(4, 0, weights)
        shard.set_epoch(epoch)
        for index, _ in shard:
            counts[index] += 1
    torch.testing.assert_close(counts / counts.sum(), weights.float(), atol=0.03, rtol=0)


def test_large_groups_count_less():
    root = Path("/data")
    paths = [root / "alone.png", *(root / "many" / f"{i}.png" for i in range(4))]
    weights = group_weights(paths, root, 0.5)
    torch.testing.assert_close(
        weights, torch.tensor([1, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64) / 3
    )
