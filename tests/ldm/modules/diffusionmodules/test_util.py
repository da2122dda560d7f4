"""Timestep embedding against its formula, and small parts."""

import copy
import math

import pytest
import torch

from ldm.modules.diffusionmodules import util
from ldm.modules.diffusionmodules.util import (
    LayerNorm,
    Upsample,
    group_norm,
    timestep_embedding,
    zero_module,
)


def test_timestep_embedding_by_hand():
    embedding = timestep_embedding(torch.tensor([0, 3, 999]), 6)
    for row, t in zip(embedding.tolist(), (0, 3, 999), strict=True):
        angles = [t * 10000 ** (-i / 3) for i in range(3)]
        assert row == pytest.approx([*map(math.cos, angles), *map(math.sin, angles)], abs=1e-4)


def test_odd_width_is_padded_with_zero():
    assert timestep_embedding(torch.tensor([5]), 7).shape == (1, 7)
    assert timestep_embedding(torch.tensor([5]), 7)[0, -1] == 0


def test_zero_module():
    layer = zero_module(torch.nn.Conv2d(2, 3, 1))
    assert not layer.weight.any() and not layer.bias.any()


@pytest.mark.parametrize(
    ("norm", "shape"), [(group_norm(64), (2, 64, 8, 8)), (LayerNorm(64), (2, 16, 64))]
)
def test_norms_stay_in_the_type_of_their_input(norm, shape):
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    x = torch.randn(shape)
    expected = norm(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x.bfloat16())
        assert torch.equal(norm(x), expected)
    assert found.dtype == torch.bfloat16
    # Weights that were rounded before change nothing, so they may be rounded while they are read.
    assert torch.equal(copy.deepcopy(norm).bfloat16()(x.bfloat16()), found)
    # Input, weight, bias and result are rounded to 8 bits each.
    assert (found - expected).abs().max() < 4 * 2**-8 * expected.abs().max()


def test_maps_are_enlarged_without_autocast(monkeypatch):
    """Autocast enlarges in float32 on a GPU, which a CPU cannot show."""
    enlarge, mixed = util.F.interpolate, []

    def watched(x, **options):
        mixed.append(torch.is_autocast_enabled("cpu"))
        return enlarge(x, **options)

    monkeypatch.setattr(util.F, "interpolate", watched)
    with torch.autocast("cpu", torch.bfloat16):
        assert Upsample(4)(torch.ones(1, 4, 2, 2)).shape == (1, 4, 4, 4)
    assert mixed == [False]


def test_group_norm_evens_out_32_groups():
    y = group_norm(64)(5 + 3 * torch.randn(2, 64, 8, 8)).view(2, 32, -1)
    assert y.mean(dim=2).abs().max() < 1e-5
    assert (y.var(dim=2, correction=0) - 1).abs().max() < 1e-3
