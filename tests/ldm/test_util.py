"""A configuration builds network modules of this project and torch, and can name nothing else."""

import pytest
import torch
from omegaconf import OmegaConf

from ldm.util import instantiate_from_config


def test_builds_with_params_and_without():
    layer = instantiate_from_config(
        {"target": "torch.nn.Linear", "params": {"in_features": 3, "out_features": 2}}
    )
    assert isinstance(layer, torch.nn.Linear) and layer.weight.shape == (2, 3)
    assert isinstance(
        instantiate_from_config({"target": "torch.nn.Identity", "params": None}), torch.nn.Identity
    )


def test_a_node_of_omegaconf_builds_what_its_dictionary_builds():
    """Interpolation reaches outside the node; the module gets plain numbers and lists."""
    content = OmegaConf.create(
        {
            "width": 3,
            "layer": {
                "target": "torch.nn.Linear",
                "params": {"in_features": "${width}", "out_features": "${.in_features}"},
            },
        }
    )
    assert instantiate_from_config(content.layer).weight.shape == (3, 3)
    content.layer.params.in_features = "${oc.env:HOME}"
    with pytest.raises(ValueError, match="calls the resolver oc.env"):
        instantiate_from_config(content.layer)


OUTSIDE = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "torch.hub.load",
    "ldmx.Net",
    "torch.nnx.Net",
    "Linear",
    "",
]


@pytest.mark.parametrize("target", OUTSIDE)
def test_target_outside_the_allowed_packages_is_refused(target):
    with pytest.raises(
        ValueError, match="refused: a configuration may only name classes of cldm, ldm and torch.nn"
    ):
        instantiate_from_config({"target": target, "params": {}})


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.init.zeros_",
        "torch.nn.Parameter",
        "ldm.util.instantiate_from_config",
        "ldm.util.importlib",
    ],
)
def test_what_is_no_module_is_refused(target):
    with pytest.raises(ValueError, match="refused: it is no torch.nn.Module"):
        instantiate_from_config({"target": target})


@pytest.mark.parametrize(
    "target", ["torch.nn.Lineal", "cldm.nothing.ControlLDM", "ldm.util.torch.nn.Linear"]
)
def test_unknown_class(target):
    with pytest.raises(ValueError, match=f"target '{target}': no such class"):
        instantiate_from_config({"target": target})


@pytest.mark.parametrize("config", [None, "torch.nn.Linear", {}, {"params": {}}, {"target": 7}])
def test_configuration_without_a_target(config):
    with pytest.raises(ValueError, match="configuration without a target"):
        instantiate_from_config(config)
