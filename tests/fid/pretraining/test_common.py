"""What both pre-trainings share."""

import argparse
from pathlib import Path

import pytest
import torch

from core.images import list_images
from fid.pretraining import common
from fid.pretraining.common import (
    GaussianNoise,
    SeededShard,
    Settings,
    Views,
    group_weights,
    read_config,
    view,
)
from fid.pretraining.mocov2 import train as moco
from fid.pretraining.swav import train as swav


@pytest.mark.parametrize(("config", "keys"), [(moco.CONFIG, moco.KEYS), (swav.CONFIG, swav.KEYS)])
def test_configurations_hold_every_key(config, keys):
    Settings(read_config(config), (*common.SHARED_KEYS, *keys), config)


def test_published_values():
    config = read_config(moco.CONFIG)
    published = {
        "epochs": 200,
        "batch_size": 128,
        "lr": 0.015,
        "schedule": [120, 160],
        "moco_k": 65536,
        "moco_m": 0.999,
        "moco_t": 0.2,
        "weight_decay": 1e-4,
    }
    assert published.items() <= config.items()
    config = read_config(swav.CONFIG)
    published = {
        "base_lr": 0.6,
        "final_lr": 0.0006,
        "wd": 1e-6,
        "nmb_prototypes": 3000,
        "queue_length": 3840,
        "freeze_prototypes_niters": 5005,
    }
    assert published.items() <= config.items()


def test_published_files_are_read(tmp_path):
    """Their names of the same thing differ, and they configure a launcher that is not used here."""
    lines = (
        moco.CONFIG.read_text().replace("data_path:", "data_file:")
        + "\nworld_size: 1\ndist_url: tcp://localhost:10001\n"
    )
    (tmp_path / "c.yaml").write_text(lines)
    settings = Settings(
        read_config(tmp_path / "c.yaml"), (*common.SHARED_KEYS, *moco.KEYS), tmp_path
    )
    assert settings.data_path == "cem_dataset/" and not hasattr(settings, "world_size")


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("a: [", [], "not a YAML file"),
        ("- a", [], "one `key: value` per line"),
        ("arch: resnet50", ["lr=1"], "--set lr: not a key"),
        ("arch: resnet50", [], "experiment_name is missing"),
        (moco.CONFIG.read_text() + "\nlearning: 1", [], "learning is not a key of this recipe"),
        (moco.CONFIG.read_text(), ["arch=resnet18"], "arch is resnet18, expected resnet50"),
    ],
)
def test_bad_configurations(tmp_path, text, changes, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Settings(read_config(path, changes), (*common.SHARED_KEYS, *moco.KEYS), path)


def test_overrides_are_values_not_texts(tmp_path):
    (tmp_path / "c.yaml").write_text("lr: 0.1\nschedule: [1]\ncos: false")
    assert read_config(tmp_path / "c.yaml", ["lr=0.5", "schedule=[3, 4]", "cos=true"]) == {
        "lr": 0.5,
        "schedule": [3, 4],
        "cos": True,
    }


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


def test_options_are_not_opened():
    args = common.build_parser("x", Path("absent.yaml")).parse_args([])
    assert isinstance(args, argparse.Namespace) and args.config == Path("absent.yaml")
