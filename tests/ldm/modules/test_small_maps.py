"""Convolutions as products of matrices, against torch's convolutions in float64."""

import copy

import pytest
import torch
from torch import nn

from ldm.modules import small_maps
from ldm.modules.small_maps import SmallMapConv2d, convolve_small, is_small, speed_up_small_maps

LAYERS = {
    "kernel": lambda: nn.Conv2d(3, 40, 3, padding=1),
    "half the size": lambda: nn.Conv2d(3, 40, 3, padding=1, stride=2),
    "pointwise": lambda: nn.Conv2d(3, 40, 1, bias=False),
    "uneven": lambda: nn.Conv2d(3, 40, (3, 2), padding=(2, 0), stride=(1, 2), dilation=(2, 1)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_results_and_gradients_are_those_of_a_convolution(kind):
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    expected = layer(x)
    found = convolve_small(x, layer.weight, layer.bias, layer)
    torch.testing.assert_close(found, expected)
    grad, leaves = torch.randn_like(expected), [x, *layer.parameters()]
    wanted = torch.autograd.grad(expected, leaves, grad)
    for one, other in zip(torch.autograd.grad(found, leaves, grad), wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_maps_are_small_where_all_pixels_of_a_batch_are_fewer_than_channels():
    layer = nn.Conv2d(8, 40, 3, padding=1)
    assert is_small(torch.empty(1, 8, 6, 6), layer)
    assert not is_small(torch.empty(2, 8, 6, 6), layer)
    layer.stride = 2, 2
    assert is_small(torch.empty(2, 8, 6, 6), layer)


@pytest.fixture
def trained(monkeypatch):
    """A network whose layer has become a `SmallMapConv2d`, and a copy from before."""
    monkeypatch.setattr(small_maps, "can_pack", lambda: True)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 40, 3, padding=1), nn.Conv2d(40, 40, 3, groups=2))
    before = copy.deepcopy(network)
    speed_up_small_maps(network)
    assert [type(layer) for layer in network] == [SmallMapConv2d, nn.Conv2d]
    return network[0], before[0]


@pytest.mark.parametrize(("side", "products"), [(4, 1), (8, 0)])
def test_training_in_bf16_uses_products_for_small_maps(trained, side, products, monkeypatch):
    calls, convolve = [], small_maps.convolve_small
    monkeypatch.setattr(
        small_maps, "convolve_small", lambda *args: calls.append(1) or convolve(*args)
    )
    x, gradients = torch.randn(1, 8, side, side), []
    for layer in trained:
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        y.float().square().sum().backward()
        gradients.append(layer.weight.grad)
    assert len(calls) == products
    assert (gradients[0] - gradients[1]).abs().max() < 2e-2 * gradients[1].abs().max()  # bf16: 4e-3


def test_float32_and_the_state_stay(trained):
    layer, before = trained
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(layer(x), before(x))
    assert list(layer.state_dict()) == list(before.state_dict())
    assert torch.equal(layer.weight, before.weight)


def test_layers_stay_on_a_processor_without_bf16(monkeypatch):
    monkeypatch.setattr(small_maps, "can_pack", lambda: False)
    network = nn.Sequential(nn.Conv2d(8, 40, 3))
    speed_up_small_maps(network)
    assert type(network[0]) is nn.Conv2d
