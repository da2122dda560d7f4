"""The learning rate of both stages."""

import pytest
import torch

from training.base.loop import warm_then_decay


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
