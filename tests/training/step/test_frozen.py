"""Frozen encoders are asked once for each prompt and each view."""

import pytest
import torch

from core.samples import Sample, SampleKey, collate
from training.step import frozen
from training.step.frozen import FrozenEncoders
from training.step.latents import LatentCache


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
    assert calls == [["b"], ["a"]]


def test_of_many_prompts_the_last_ones_are_kept(encoders, tiny_cldm, monkeypatch):
    monkeypatch.setattr(frozen, "MAX_CONTEXTS", 2)
    calls = count_calls(monkeypatch, tiny_cldm.cond_stage_model, "forward")
    for prompts in (["a", "b", "c"], ["b", "c"], ["a"], ["c"]):
        encoders.contexts(prompts)
    assert calls == [["a"], ["b"], ["c"], ["a"]]


def batch_of(*keys, known=()):
    """A batch whose images depend on the keys' indices; `known` views come without image."""
    samples = []
    for key in keys:
        generator = torch.Generator().manual_seed(key.index)
        image = None if key.view in known else torch.rand(32, 32, 3, generator=generator)
        samples.append(Sample(key, image, "", torch.zeros(32, 32, 3)))
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
