import pytest
import torch

from cldm.model import create_model
from cldm.sampling import SamplingOptions
from generation.costs import measure_image


def test_measuring_images_leaves_the_model_as_it_was(micro_yaml):
    model = create_model(micro_yaml)
    control = model.control_model
    cost = measure_image(
        model, 64, 1, torch.device("cpu"), SamplingOptions(), branches=2, repeats=1
    )
    assert model.control_model is control
    assert cost.total(10) == pytest.approx(cost.fixed + 10 * cost.evaluation)
