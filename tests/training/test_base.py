import pytest
import torch

from cldm.model import create_model
from core.images import list_images
from tests.weights import fill_parameters
from training.base import (
    Latents,
    Views,
    base_weights,
    build_base,
    normalise_latents,
    read_images,
    shuffled,
    warm_then_decay,
)


def test_normalised_latents_decode_to_the_same_images(micro_yaml):
    """Mean 0, deviation 1 / scale_factor (1 %), and the same reconstruction (1e-4)."""
    model = fill_parameters(create_model(micro_yaml)).first_stage_model.eval()
    images = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = model.encode(images)
        expected = model.decode(before.mode())
        normalise_latents(model, before.parameters, scale_factor=0.18215)
        after = model.encode(images)
        assert torch.allclose(
            model.decode(after.mode()), expected, atol=1e-4 * float(expected.abs().max())
        )
        spread = (after.mean.var(dim=(0, 2, 3)) + after.var.mean(dim=(0, 2, 3))).sqrt() * 0.18215
    assert torch.allclose(spread, torch.ones(4), rtol=0.01)
    assert float(after.mean.mean(dim=(0, 2, 3)).abs().max()) < 0.01


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


def test_a_base_has_no_control_branch_and_saves_no_schedule(micro_yaml):
    model = build_base(micro_yaml)
    weights = base_weights(model)
    assert {key.split(".")[0] for key in weights} == {
        "model",
        "first_stage_model",
        "cond_stage_model",
    }
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert all(p.requires_grad for p in model.cond_stage_model.parameters())


def test_batches_are_full_unless_there_is_only_one():
    assert [len(batch) for batch in shuffled(range(7), 3)] == [3, 3]
    assert [len(batch) for batch in shuffled(range(2), 3)] == [2]


def test_learning_rate_rises_for_a_fiftieth_of_the_steps_and_ends_at_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule = warm_then_decay(optimizer, 100)["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.01) and rates[2] == pytest.approx(1.0)
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[100] == pytest.approx(0)
