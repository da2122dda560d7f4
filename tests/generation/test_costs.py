"""Seconds of an image, measured with a clock that the test moves."""

import pytest
import torch

from cldm.model import create_model
from cldm.options import SamplingOptions
from cldm.sampling import sample_images
from cldm.speed import speed_up_drawing
from generation import costs
from generation.costs import ImageCost, measure_image


def test_images_are_measured_as_they_are_drawn(micro_yaml, monkeypatch):
    """All branches are there before the model is sped up, and that comes before the first image."""
    model, order = create_model(micro_yaml), []

    def speed_up(sped_up, compiled):
        order.append(len(sped_up.control_model.branches))
        speed_up_drawing(sped_up, compiled)

    def draw(*words):
        order.append("drawn")
        return sample_images(*words)

    monkeypatch.setattr(costs, "speed_up_drawing", speed_up)
    monkeypatch.setattr(costs, "sample_images", draw)
    cost = measure_image(
        model, 64, 1, torch.device("cpu"), SamplingOptions(), branches=2, repeats=1
    )
    assert order == [2, "drawn", "drawn", "drawn"]
    assert cost.total(10) == pytest.approx(cost.fixed + 10 * cost.evaluation)


def test_costs_are_told_apart_by_the_number_of_steps(micro_yaml, monkeypatch):
    """Drawing is replaced by a clock that runs 7 s for a batch and 2 s for each of its steps."""
    now, sizes = [0.0], []

    def fake_images(model, hints, prompts, seeds, options):
        sizes.append([tuple(hint.shape) for hint in hints])
        now[0] += 7 + 2 * options.steps

    monkeypatch.setattr(costs, "sample_images", fake_images)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    model = create_model(micro_yaml)
    cost = measure_image(model, 64, 4, torch.device("cpu"), SamplingOptions(), 3, repeats=2)
    assert cost == ImageCost(fixed=7 / 4, evaluation=2 / 4)  # of each of four images
    assert cost.total(70) == pytest.approx((7 + 2 * 70) / 4)
    assert sizes == [[(4, 3, 64, 64)] * 3] * 5  # a run that warms up, then two pairs
