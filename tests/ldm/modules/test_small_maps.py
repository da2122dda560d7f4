"""Convolutions as products of matrices, against torch's convolutions in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ldm.modules.small_maps import convolve_small, is_small

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
    matrix = layer.weight.flatten(1)
    found = convolve_small(x, layer, lambda rows: F.linear(rows, matrix, layer.bias))
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
