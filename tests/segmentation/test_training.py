"""Training of the segmenter: repeatable, and the weights are those of the best validation."""

import pytest
import torch

from core.command_line.options import OptionError
from core.imaging.labels import IGNORE
from core.notices import Notice
from segmentation.folders import TrainingPairs
from segmentation.network import build_segmenter
from segmentation.options import SegmenterOptions
from segmentation.training import learning_rate_factor, segmentation_loss, train_segmenter


def test_equal_seeds_give_equal_weights_and_leave_the_callers_randomness_alone(sets):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    models = [
        train_segmenter(
            TrainingPairs(sets[0][:4]), 3, 2, SegmenterOptions(2, image_size=32, seed=seed)
        )
        for seed in (5, 5, 6)
    ]
    assert torch.equal(torch.rand(3), expected)
    first, second, other = ([p.detach() for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_crops_far_larger_than_the_images_are_warned_of(sets):
    with pytest.warns(Notice, match=r"pixels .*, so a crop of 256 shows it several times"):
        train_segmenter(TrainingPairs(sets[0][:1]), 3, 1, SegmenterOptions(1, image_size=256))


def test_returns_the_weights_of_the_best_validation(sets, monkeypatch):
    """The second of five validations is made the best: what follows must not change the result."""
    seen = []

    def fake_score(model, pairs, num_classes, pixel_side):
        seen.append(next(model.parameters()).detach().clone())
        return {"miou": 0.9 if len(seen) == 2 else 0.1}

    monkeypatch.setattr("segmentation.training.score", fake_score)
    model = train_segmenter(
        TrainingPairs(sets[0][:4], sets[1]), 3, 5, SegmenterOptions(2, image_size=32)
    )
    assert len(seen) == 5
    assert torch.equal(next(model.parameters()), seen[1])
    assert not torch.equal(seen[1], seen[4])
    assert model.curve == [(1, 0.1), (2, 0.9), (3, 0.1), (4, 0.1), (5, 0.1)]
    # After two validations without a better one, the training ends.
    seen.clear()
    options = SegmenterOptions(2, image_size=32, patience=2)
    model = train_segmenter(TrainingPairs(sets[0][:4], sets[1]), 3, 5, options)
    assert [step for step, _ in model.curve] == [1, 2, 3, 4]
    assert torch.equal(next(model.parameters()), seen[1])


def test_patience_begins_when_real_pairs_are_shown(sets, monkeypatch):
    seen = []

    def fake_score(model, pairs, num_classes, pixel_side):
        seen.append(model)
        return {"miou": 1 / len(seen)}  # the first validation stays the best

    monkeypatch.setattr("segmentation.training.score", fake_score)
    options = SegmenterOptions(2, image_size=32, validations=6, patience=2, synthetic_first=3)
    model = train_segmenter(TrainingPairs(sets[0][:2], sets[1], sets[1][:2]), 3, 6, options)
    assert [step for step, _ in model.curve] == [1, 2, 3, 4, 5]


def test_ignored_pixels_change_no_loss():
    def model(image):
        return torch.cat([image, 1 - image], dim=1)  # (N, 2, S, S)

    image, mask = torch.rand(1, 1, 8, 8), torch.randint(2, (1, 8, 8))
    half = segmentation_loss(model, image[..., :4], mask[..., :4])
    mask[..., 4:] = IGNORE
    assert segmentation_loss(model, image, mask) == pytest.approx(half.item(), abs=1e-6)
    assert segmentation_loss(model, image, torch.full_like(mask, IGNORE)) == 0


def test_bf16_rounds_and_changes_little(sets):
    """Losses of equal weights, and weights after a step: close, and not the same."""
    torch.manual_seed(0)
    model = build_segmenter(3).eval()
    image, mask = torch.rand(2, 1, 64, 64), torch.randint(3, (2, 64, 64))
    exact, rounded = (float(segmentation_loss(model, image, mask, bf16)) for bf16 in (False, True))
    assert rounded != exact and rounded == pytest.approx(exact, rel=0.02)
    first, second = (
        train_segmenter(
            TrainingPairs(sets[0][:4]),
            3,
            1,
            SegmenterOptions(2, image_size=32, precision=precision),
        )
        for precision in ("auto", "bf16")
    )
    pairs = list(zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in pairs)
    assert all(b.dtype == torch.float32 for _, b in pairs)


def test_bf16_where_it_is_slow_is_a_notice(sets, monkeypatch):
    monkeypatch.setattr("core.hardware.bf16.bf16_time_on_cpu", lambda: 3.0)
    with pytest.warns(Notice, match="bf16: a product takes 3.0 times as long"):
        train_segmenter(
            TrainingPairs(sets[0][:2]), 3, 1, SegmenterOptions(2, image_size=32, precision="bf16")
        )


def test_synthetic_pairs_count_as_the_mixture_says(sets):
    """With a weight of 0 the real pairs must not matter, whatever they are."""
    only = SegmenterOptions(2, image_size=32, mix=(("real", 0), ("synthetic", 1)))
    real, other, synthetic = sets[0][:2], sets[0][2:4], sets[1][:2]
    first, second = (
        list(train_segmenter(TrainingPairs(pairs, (), synthetic), 3, 2, only).parameters())
        for pairs in (real, other)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    both = SegmenterOptions(2, image_size=32, mix=(("real", 1), ("synthetic", 1)))
    third = list(train_segmenter(TrainingPairs(real, (), synthetic), 3, 2, both).parameters())
    assert not all(torch.equal(a, b) for a, b in zip(first, third, strict=True))


def test_a_source_without_pairs_is_refused(sets):
    cases = [
        ({"mix": (("synthetic", 1.0),)}, "mix: synthetic=1, but there are no synthetic pairs"),
        ({"synthetic_first": 1}, "synthetic_first: there are no synthetic pairs"),
    ]
    for fields, message in cases:
        with pytest.raises(OptionError, match=message):
            train_segmenter(TrainingPairs(sets[0][:2]), 3, 2, SegmenterOptions(**fields))
    cases = [
        ({"synthetic_first": 3}, "3 of only 2 steps"),
        ({"synthetic_first": 2}, "all 2 steps: real pairs would never be shown"),
        ({"mix": (("synthetic", 2.0),)}, "mix: names no weight of real; real=0 leaves it out"),
    ]
    for fields, message in cases:
        with pytest.raises(OptionError, match=message):
            options = SegmenterOptions(**fields)
            train_segmenter(TrainingPairs(sets[0][:2], (), sets[1]), 3, 2, options)


def test_learning_rate_rises_and_falls():
    assert [learning_rate_factor(0, 1), learning_rate_factor(0, 10)] == [1.0, 1.0]
    factors = [learning_rate_factor(step, 100) for step in range(101)]
    assert factors[0] < 0.2 < 0.9 < max(factors) <= 1
    assert factors[100] == pytest.approx(0)
    assert factors[10:] == sorted(factors[10:], reverse=True)
