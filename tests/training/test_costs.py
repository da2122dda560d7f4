"""Seconds of a training step."""

import torch

from cldm.model import create_model
from training import costs


def test_the_first_step_does_not_count(micro_yaml, monkeypatch):
    """The clock is replaced: the first step takes 100 s, the others 1, 5 and 3 s."""
    ends = iter([0, 100, 200, 201, 300, 305, 400, 403])
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(ends))
    model = create_model(micro_yaml)
    seconds = costs.measure_step(model, 64, 1, torch.device("cpu"), repeats=3)
    assert seconds == 3
    assert next(ends, None) is None and not model.training


def test_a_step_is_measured_as_it_is_trained(micro_yaml, monkeypatch):
    asked = []
    monkeypatch.setattr(
        costs, "speed_up_training", lambda *words, **more: asked.append((words[1:], more))
    )
    costs.measure_step(create_model(micro_yaml), 64, 1, torch.device("cpu"), "bf16", repeats=1)
    assert asked == [((False, "bf16"), {"compiled": False, "graphs": True})]  # not on a GPU
