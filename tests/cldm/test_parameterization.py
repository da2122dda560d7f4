"""Whether a U-Net predicts noise or v, as its answer to noise tells."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cldm.parameterization import check_parameterization, measured_parameterization
from core.weights.checkpoints import load_state_dict, load_strictly
from training.base.unet import build_base

MODELS = Path(__file__).parent.parent.parent / "models"


@pytest.fixture(scope="module", params=["nano", "nano_em"])
def nano(request):
    """A nano base, which predicts the noise."""
    config = MODELS / f"cldm_{request.param}.yaml"
    return build_base(config, MODELS / f"{request.param}_base.safetensors").eval()


class PredictsV(nn.Module):
    """The v that follows from the noise which another U-Net predicts.

    v = sqrt(abar) eps - sqrt(1 - abar) x_0 with x_0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar).
    """

    def __init__(self, unet, alphas_cumprod):
        super().__init__()
        self.unet, self.alphas_cumprod = unet, alphas_cumprod

    def forward(self, x, timesteps, context):
        abar = self.alphas_cumprod[timesteps][:, None, None, None]
        return (self.unet(x, timesteps, context) - (1 - abar).sqrt() * x) / abar.sqrt()


@pytest.fixture
def nano_v(nano):
    unet = nano.model.diffusion_model
    nano.model.diffusion_model = PredictsV(unet, nano.alphas_cumprod)
    yield nano
    nano.model.diffusion_model = unet


def test_the_nano_bases_predict_the_noise(nano):
    state = torch.random.get_rng_state()
    assert measured_parameterization(nano) == "eps"
    assert torch.equal(torch.random.get_rng_state(), state)
    check_parameterization(nano, "a.yaml", "a.ckpt")


def test_the_same_network_turned_to_v(nano_v, monkeypatch):
    assert measured_parameterization(nano_v) == "v"
    message = "a.ckpt: its U-Net predicts v, but a.yaml says parameterization: eps. Take the conf"
    with pytest.raises(RuntimeError, match=message):
        check_parameterization(nano_v, "a.yaml", "a.ckpt")
    monkeypatch.setattr(nano_v, "parameterization", "v")
    check_parameterization(nano_v, "a.yaml", "a.ckpt")


def test_noise_under_a_configuration_for_v(nano, monkeypatch):
    monkeypatch.setattr(nano, "parameterization", "v")
    with pytest.raises(RuntimeError, match="predicts eps, but a.yaml says parameterization: v"):
        check_parameterization(nano, "a.yaml", "a.ckpt")


@pytest.mark.parametrize("parameterization", ["eps", "v"])
def test_networks_without_training_are_let_pass(micro_yaml, micro_weights, parameterization):
    model = build_base(micro_yaml).eval()  # its output layer is zero
    model.parameterization = parameterization
    assert measured_parameterization(model) is None
    weights = load_state_dict(micro_weights)
    load_strictly(model, weights, micro_weights, may_be_left_over=("control_model.",))
    assert measured_parameterization(model) is None
    check_parameterization(model, micro_yaml, micro_weights)
