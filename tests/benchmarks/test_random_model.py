"""The random model of benchmarks, and how it is compared."""

import pytest
import torch

from benchmarks import random_model
from benchmarks.random_model import (
    build_random_model,
    errors_against_cpu,
    matmul_flops,
    nominal_flops,
    outputs,
)

CPU = torch.device("cpu")


def test_every_part_of_the_model_counts(micro_yaml):
    model, _ = build_random_model(micro_yaml, CPU)
    assert all(parameter.any() for parameter in model.parameters()) and not model.training
    found = outputs(model, 64, CPU)
    assert all(value.isfinite().all() and value.abs().max() > 0 for value in found.values())
    assert found["decoded_picture"].shape == (1, 3, 64, 64)
    assert all(parameter.grad is None for parameter in model.parameters())
    # Repeatable, so that the CPU gets what the GPU got
    assert all(torch.equal(value, found[name]) for name, value in outputs(model, 64, CPU).items())


def test_errors_are_shares_of_the_largest_value(monkeypatch):
    answers = iter([{"a": torch.tensor([1.0, 2.5])}, {"a": torch.tensor([1.0, 2.0])}])
    monkeypatch.setattr(random_model, "outputs", lambda *given: next(answers))
    assert errors_against_cpu(torch.nn.Identity(), 64, CPU) == {"a": 0.25}


def test_peaks():
    assert 1e8 < matmul_flops(CPU) < 1e15
    assert nominal_flops("NVIDIA H100 80GB HBM3") == pytest.approx(989e12)
    assert nominal_flops("NVIDIA H100 PCIe") == pytest.approx(756e12)
    assert nominal_flops("the CPU, 1 thread(s)") is None
