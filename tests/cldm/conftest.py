"""Fixtures for the tests of models: one smaller than the tiny model, and its weights."""

import pytest
import yaml

from cldm.model import create_model
from tests.weights import fill_parameters


@pytest.fixture(scope="module")
def mini_yaml(tmp_path_factory, tiny_yaml):
    """The tiny model with fewer and narrower layers: files of 6 MB."""
    config = yaml.safe_load(tiny_yaml.read_text())
    params = config["model"]["params"]
    for name in ("control_stage_config", "unet_config"):
        params[name]["params"].update(
            channel_mult=[1], num_res_blocks=1, attention_resolutions=[1], context_dim=8
        )
    params["first_stage_config"]["params"]["ddconfig"].update(ch_mult=[1, 1], num_res_blocks=1)
    params["cond_stage_config"]["params"].update(width=8, layers=1, heads=1)
    path = tmp_path_factory.mktemp("mini") / "mini.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def mini_weights(mini_yaml):
    """All tensors of the mini model, filled by name."""
    return fill_parameters(create_model(mini_yaml)).state_dict()
