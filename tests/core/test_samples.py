"""Batches of samples that are written by hand."""

import pytest
import torch

from core.samples import Sample, SampleKey, collate


def sample(index, has_image=True, **more):
    """A sample of 2 x 3 pixels, whose values tell channel, place and sample apart."""
    pixels = torch.arange(18.0).reshape(2, 3, 3) + 100 * index  # (h, w, c)
    hint = pixels[..., :2] / 1000  # (h, w, 2)
    return Sample(SampleKey(index, 7), pixels if has_image else None, f"p{index}", hint, **more)


def test_a_batch_has_its_channels_first():
    batch = collate([sample(0, weight=0.5, whole_batch=4), sample(1, weight=0.25, whole_batch=4)])
    assert batch.images.shape == (2, 3, 2, 3) and batch.hints[0].shape == (2, 2, 2, 3)
    # Channel 2 at row 1, column 0 is value (1 * 3 + 0) * 3 + 2 of a picture.
    assert batch.images[1, 2, 1, 0] == 111 and batch.hints[0][1, 1, 1, 0] == pytest.approx(0.11)
    assert batch.keys == [SampleKey(0, 7), SampleKey(1, 7)] and batch.prompts == ["p0", "p1"]
    assert batch.weights.tolist() == [0.5, 0.25] and batch.whole_batch == 4
    assert batch.other_hints == []


def test_images_whose_latents_are_known_are_left_out():
    batch = collate([sample(0, has_image=False), sample(1), sample(2, has_image=False)])
    assert batch.has_image == [False, True, False]
    assert torch.equal(batch.images, collate([sample(1)]).images)
    assert len(batch.hints[0]) == 3
    assert collate([sample(0, has_image=False)]).images.shape == (0, 3, 2, 3)


def test_all_tensors_of_a_batch_are_pinned(monkeypatch):
    # Stands for the copy to pinned memory, which only a machine with a GPU has.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    plain = collate([sample(i, other_hint=torch.zeros(2, 3, 2)) for i in range(2)])
    pinned = plain.pin_memory()
    assert pinned.prompts == plain.prompts and pinned.keys == plain.keys
    for name in ("images", "weights"):
        assert torch.equal(getattr(pinned, name), getattr(plain, name) + 1)
    for name in ("hints", "other_hints"):
        (moved,), (stayed,) = getattr(pinned, name), getattr(plain, name)
        assert torch.equal(moved, stayed + 1)
