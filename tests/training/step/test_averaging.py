"""The running average of trained weights."""

import pytest
import torch

from training.step.averaging import WeightAverage


def test_the_average_follows_its_formula_and_swaps():
    parameter = torch.nn.Parameter(torch.zeros(3))
    average = WeightAverage({"w": parameter}, decay=0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0), start=1):
        parameter.data.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.values["w"].tolist() == pytest.approx([expected] * 3)
    average.swap()
    assert parameter.tolist() == pytest.approx([expected] * 3)
    average.swap()
    assert parameter.tolist() == [256.0] * 3

    resumed = WeightAverage({"w": parameter}, decay=0.5)
    resumed.load_state_dict(average.state_dict())
    for one in (average, resumed):
        one.update()
    assert torch.equal(average.values["w"], resumed.values["w"])
    with pytest.raises(ValueError, match="of other parameters"):
        WeightAverage({"v": parameter}, 0.5).load_state_dict(average.state_dict())
