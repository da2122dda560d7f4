"""Training of the segmenter: repeatable, and the weights are those of the best validation."""

import pytest
import torch

from segmentation.training import SegmenterOptions, learning_rate_factor, train_segmenter


def test_equal_seeds_give_equal_weights_and_leave_the_callers_randomness_alone(sets):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    models = [
        train_segmenter(sets[0][:4], [], 3, 2, SegmenterOptions(2, image_size=32, seed=seed))
        for seed in (5, 5, 6)
    ]
    assert torch.equal(torch.rand(3), expected)
    first, second, other = ([p.detach() for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_returns_the_weights_of_the_best_validation(sets, monkeypatch):
    """The second of five validations is made the best: what follows must not change the result."""
    seen = []

    def fake_score(model, pairs, num_classes):
        seen.append(next(model.parameters()).detach().clone())
        return {"miou": 0.9 if len(seen) == 2 else 0.1}

    monkeypatch.setattr("segmentation.training.score", fake_score)
    model = train_segmenter(sets[0][:4], sets[1], 3, 5, SegmenterOptions(2, image_size=32))
    assert len(seen) == 5
    assert torch.equal(next(model.parameters()), seen[1])
    assert not torch.equal(seen[1], seen[4])


def test_learning_rate_rises_and_falls():
    assert [learning_rate_factor(0, 1), learning_rate_factor(0, 10)] == [1.0, 1.0]
    factors = [learning_rate_factor(step, 100) for step in range(101)]
    assert factors[0] < 0.2 < 0.9 < max(factors) <= 1
    assert factors[100] == pytest.approx(0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
