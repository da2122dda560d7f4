"""Keys of published configurations."""

import copy

import pytest

from ldm.util import instantiate_from_config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameterization": "x0"}, "parameterization 'x0', expected eps or v"),
        ({"beta_schedule": "cosine"}, "expected beta_schedule: linear"),
        ({"loss_type": "l1"}, "loss_type: l2"),
        ({"scale_fctor": 1.0}, r"unknown keys \['scale_fctor'\]"),
    ],
)
def test_configurations_of_other_families_are_refused(config, change, message):
    config = copy.deepcopy(config)
    config["params"].update(change)
    with pytest.raises(ValueError, match=message):
        instantiate_from_config(config)
