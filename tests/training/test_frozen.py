"""Frozen encoders are asked once; answers are kept in memory and, beyond a limit, in a file."""

import pytest
import torch

from dataset import Sample, SampleKey, collate
from training.frozen import FrozenEncoders, LatentCache


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
        monkeypatch.setattr("training.frozen.os.SEEK_END", 0)  # /dev/full has no end
        with pytest.raises(OSError, match=r"could not be written \(No space left.*--latent_memory"):
            cache[1] = moments(1)
    assert 1 not in cache


@pytest.fixture
def encoders(tiny_cldm, tmp_path):
    return FrozenEncoders(tiny_cldm, LatentCache(10**6, tmp_path))


def count_calls(monkeypatch, owner, name):
    calls, real = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda x: calls.append(x) or real(x))
    return calls


def test_each_prompt_is_encoded_once_and_alone(encoders, tiny_cldm, monkeypatch):
    plain = tiny_cldm.get_learned_conditioning(["b", "a", "b"])
    calls = count_calls(monkeypatch, tiny_cldm.cond_stage_model, "forward")
    for _ in range(2):
        torch.testing.assert_close(encoders.contexts(["b", "a", "b"]), plain)
    # alone: what comes together differs after a resumption, and its last bits with it
    assert calls == [["a"], ["b"]]


def batch_of(*keys, known=()):
    """A batch whose images depend on the keys' indices; `known` views come without image."""
    samples = []
    for key in keys:
        generator = torch.Generator().manual_seed(key.index)
        image = None if key.view in known else torch.rand(3, 32, 32, generator=generator)
        samples.append(Sample(key, image, "", torch.zeros(3, 32, 32)))
    return collate(samples)


@torch.no_grad()
def test_each_view_is_encoded_once(encoders, tiny_cldm, monkeypatch):
    first = batch_of(SampleKey(0, 1, 10), SampleKey(1, 2, 11))
    expected = tiny_cldm.first_stage_model.encode(first.images).parameters
    calls = count_calls(monkeypatch, tiny_cldm.first_stage_model, "encode")
    torch.testing.assert_close(encoders.posterior(first).parameters, expected)
    mixed = batch_of(SampleKey(1, 5, 11), SampleKey(2, 6, 12), known={11})
    seen = encoders.posterior(mixed).parameters
    torch.testing.assert_close(seen[0], expected[1])
    assert [len(images) for images in calls] == [1, 1, 1]
    known = batch_of(SampleKey(2, 7, 12), known={12})
    assert torch.equal(encoders.posterior(known).parameters[0], seen[1])
    assert len(calls) == 3


@torch.no_grad()
def test_without_views_nothing_is_kept(encoders):
    encoders.posterior(batch_of(SampleKey(0, 1), SampleKey(1, 2)))
    assert not encoders.cache.in_memory
