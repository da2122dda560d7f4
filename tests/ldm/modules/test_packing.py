"""Tolerance: products are equal, but maps come in another layout, and sums in another order."""

import pytest
import torch
from torch import nn

from ldm.modules.diffusionmodules.util import Upsample
from ldm.modules.packing import PackedConv2d, PackedLinear, can_pack, pack_layers

needs_packing = pytest.mark.skipif(not can_pack(), reason="no oneDNN with bf16 here")


class Net(nn.Module):
    """All kinds of layers that a U-Net has, and a Parameter that is no layer's."""

    def __init__(self):
        super().__init__()
        self.entry = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.SiLU())
        self.down = nn.Conv2d(32, 48, 3, stride=2, padding=1)
        self.pointwise = nn.Conv2d(48, 64, 1, bias=False)
        self.upsample = Upsample(64)
        self.mixing = nn.Linear(64, 64, bias=False)
        self.scale = nn.Parameter(torch.ones(64))

    def forward(self, x):
        x = self.upsample(self.pointwise(self.down(self.entry(x))))  # (N, 64, H, W)
        return self.mixing(x.movedim(1, -1)) * self.scale  # (N, H, W, 64)


def results(dtype, sizes=((2, 16, 24), (1, 16, 24), (2, 40, 8))):
    """Outputs before and after packing, for several batches and sizes."""
    torch.manual_seed(0)
    net = Net().to(dtype).eval()
    inputs = [torch.randn(n, 3, h, w, dtype=dtype) for n, h, w in sizes]
    with torch.no_grad():
        plain = [net(x) for x in inputs]
        pack_layers(net)
        packed = [net(x) for x in inputs]
    return net, plain, packed


@needs_packing
def test_packed_layers_compute_the_same():
    _, plain, packed = results(torch.bfloat16)
    for before, after in zip(plain, packed, strict=True):
        assert after.dtype == torch.bfloat16 and before.std() > 0.01
        error = (after.float() - before.float()).abs().max() / before.float().abs().max()
        assert error < 2e-2


def test_layers_in_float32_stay():
    net, plain, packed = results(torch.float32)
    assert type(net.mixing) is nn.Linear and type(net.down) is nn.Conv2d
    assert all(torch.equal(*pair) for pair in zip(plain, packed, strict=True))


@needs_packing
def test_only_layers_are_packed_and_their_weights_are_dropped():
    net, _, _ = results(torch.bfloat16)
    assert isinstance(net.entry[0], PackedConv2d) and isinstance(net.mixing, PackedLinear)
    assert isinstance(net.upsample.conv, nn.Conv2d)  # slices its rows with the plain weights
    kept = {"entry.0.bias", "down.bias", "upsample.conv.weight", "upsample.conv.bias", "scale"}
    assert set(net.state_dict()) == kept


@needs_packing
def test_an_image_does_not_depend_on_what_came_before_it():
    """Weights are packed for no size in particular, so a resumed run goes on bit by bit."""
    _, _, first = results(torch.bfloat16)
    _, _, alone = results(torch.bfloat16, sizes=[(2, 16, 24)])
    assert torch.equal(first[0], alone[0])
    torch.manual_seed(0)
    net = Net().bfloat16().eval()
    x = torch.randn(2, 3, 16, 24).bfloat16()
    pack_layers(net)
    with torch.no_grad():
        expected = net(x)
        net(torch.randn(1, 3, 40, 8).bfloat16())
        assert torch.equal(net(x), expected)


def test_layers_stay_on_a_processor_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    net = Net().bfloat16()
    pack_layers(net)
    assert type(net.mixing) is nn.Linear and type(net.down) is nn.Conv2d
