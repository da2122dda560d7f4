"""The configuration of plain latent diffusion."""

import pytest
import yaml


@pytest.fixture
def config(tiny_yaml):
    """The tiny model without its control branch: plain latent diffusion."""
    config = yaml.safe_load(tiny_yaml.read_text())["model"]
    config["target"] = "ldm.models.diffusion.ddpm.LatentDiffusion"
    config["params"]["unet_config"]["target"] = "ldm.modules.diffusionmodules.openaimodel.UNetModel"
    for name in ("control_stage_config", "control_key", "only_mid_control"):
        del config["params"][name]
    return config
