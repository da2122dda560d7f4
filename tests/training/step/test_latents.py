"""Latents are kept in memory and, beyond a limit, in a file."""

import pytest
import torch

from training.step.latents import LatentCache


def moments(number):
    return torch.full((8, 2, 2), float(number)) + torch.rand(8, 2, 2)  # 128 bytes


@pytest.mark.parametrize("limit", [0, 300, 10**6])
def test_what_is_kept_comes_back_whatever_the_limit(tmp_path, limit):
    cache, kept = LatentCache(limit, tmp_path), {view: moments(view) for view in range(5)}
    for view, values in kept.items():
        assert view not in cache
        cache[view] = values
    for view, values in kept.items():
        assert view in cache and torch.equal(cache[view], values)
    assert len(cache.in_memory) == min(5, limit // 128)
    assert not list(tmp_path.iterdir())  # the file has no name


def test_a_full_disk_is_an_error_that_names_the_options(tmp_path, monkeypatch):
    cache = LatentCache(0, tmp_path)
    with open("/dev/full", "w+b", buffering=0) as full:
        monkeypatch.setattr(cache, "_open_file", lambda: full)
        monkeypatch.setattr("training.step.latents.os.SEEK_END", 0)  # /dev/full has no end
        with pytest.raises(OSError, match=r"could not be written \(No space left.*--latent_memory"):
            cache[1] = moments(1)
    assert 1 not in cache
