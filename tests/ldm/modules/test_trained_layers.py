"""Trained layers against the plain ones that they were made of."""

import copy

import pytest
import torch
from torch import nn

from ldm.modules import trained_layers
from ldm.modules.trained_layers import TrainedConv2d, TrainedLinear, round_trained_layers

LAYERS = {
    "kernel": (lambda: nn.Conv2d(8, 40, 3, padding=1), (2, 8, 4, 4)),
    "kernel on a large map": (lambda: nn.Conv2d(8, 40, 3, padding=1), (2, 8, 8, 8)),
    "half the size": (lambda: nn.Conv2d(8, 40, 3, padding=1, stride=2, bias=False), (1, 8, 8, 8)),
    "matrix": (lambda: nn.Linear(8, 40), (2, 5, 8)),
    "matrix without bias": (lambda: nn.Linear(8, 40, bias=False), (2, 5, 8)),
}


@pytest.fixture(autouse=True)
def bf16_here(monkeypatch):
    """Any processor computes in bf16, if slowly."""
    monkeypatch.setattr(trained_layers, "can_pack", lambda: True)


def trained(layer):
    """A copy of a layer that rounds its weights for each product."""
    network = nn.Sequential(copy.deepcopy(layer))
    round_trained_layers(network)
    assert type(network[0]) in (TrainedConv2d, TrainedLinear)
    return network[0]


def passes(layer, x):
    """Result in mixed precision, gradients of `x` and of the weights, and what was kept of them."""
    x, kept = x.clone().requires_grad_(), []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)
    with torch.autocast("cpu", torch.bfloat16), hooks:
        y = layer(x)
    torch.manual_seed(1)
    y.backward(torch.randn(y.shape).to(y.dtype))
    weights = [t for t in kept if t.numel() == layer.weight.numel() and t.dtype == torch.bfloat16]
    return [y.detach(), x.grad, *(p.grad for p in layer.parameters())], weights


@pytest.mark.parametrize("kind", LAYERS)
def test_results_and_gradients_are_those_of_the_plain_layer(kind):
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer, x = make(), torch.randn(shape)
    (found, _), (expected, _) = passes(trained(layer), x), passes(layer, x)
    for one, other in zip(found, expected, strict=True):
        assert other.std() > 0.1 and one.dtype == other.dtype and one.shape == other.shape
        assert (one - other).abs().max() < 2e-2 * other.abs().max()  # bf16: 4e-3


@pytest.mark.parametrize("kind", ["kernel", "matrix"])
def test_rounded_weights_are_not_kept_for_the_backward_pass(kind):
    make, shape = LAYERS[kind]
    layer, x = make(), torch.randn(shape)
    assert passes(layer, x)[1] and not passes(trained(layer), x)[1]


def test_float32_and_the_state_stay():
    layer, x = nn.Conv2d(8, 40, 3, padding=1), torch.randn(1, 8, 4, 4)
    rounded = trained(layer)
    assert torch.equal(rounded(x), layer(x))
    assert list(rounded.state_dict()) == list(layer.state_dict())
    assert torch.equal(rounded.weight, layer.weight)


def test_layers_stay_in_groups_and_on_a_processor_without_bf16(monkeypatch):
    network = nn.Sequential(nn.Conv2d(8, 40, 3, groups=2), nn.Linear(8, 8))
    round_trained_layers(network[:1])
    monkeypatch.setattr(trained_layers, "can_pack", lambda: False)
    round_trained_layers(network)
    assert [type(layer) for layer in network] == [nn.Conv2d, nn.Linear]
