"""Locked layers against the plain ones that they were made of: equal to the last bit or nearly."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from ldm.modules.locked_layers import LockedConv2d, LockedLinear, lock_layers
from ldm.modules.packing import can_pack
from tests.kernel import needs_paging

needs_packing = pytest.mark.skipif(not can_pack(), reason="no oneDNN with bf16 here")
LAYERS = {
    "kernel": (lambda: nn.Conv2d(32, 48, 3, padding=1), (2, 32, 8, 12)),
    "kernel on a small map": (lambda: nn.Conv2d(32, 48, 3, padding=1), (2, 32, 4, 5)),
    "pointwise": (lambda: nn.Conv2d(32, 16, 1, bias=False), (2, 32, 8, 12)),
    "matrix": (lambda: nn.Linear(32, 48), (2, 5, 32)),
    "matrix without bias": (lambda: nn.Linear(32, 16, bias=False), (2, 5, 32)),
}


def passes(layer, x):
    """Result in mixed precision, and the gradient of `x`."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    torch.manual_seed(1)
    y.backward(torch.randn(y.shape).to(y.dtype))
    return y.detach().float(), x.grad


def locked(layer):
    """A copy that computes with weights rounded once."""
    return locked_in_place(copy.deepcopy(layer))


def locked_in_place(layer):
    """The layer, which computes with weights rounded once from now on."""
    network = nn.Sequential(layer).requires_grad_(False)
    lock_layers(network)
    return network[0]


def mapped_memory():
    """Bytes of files in the memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    # /tmp may be in memory; Linux counts such files as shared.
    found = [line.split()[1] for line in lines if line.startswith(("RssFile", "RssShmem"))]
    return sum(map(int, found)) * 1024


@needs_packing
@pytest.mark.parametrize("kind", LAYERS)
def test_results_and_gradients_are_those_of_the_plain_layer(kind):
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer, x = make().requires_grad_(False), torch.randn(shape)
    packed = locked(layer)
    assert type(packed) in (LockedConv2d, LockedLinear)
    for _ in range(2):  # the weights are packed in the first call and used in the second
        for found, expected in zip(passes(packed, x), passes(layer, x), strict=True):
            assert expected.std() > 0.1 and found.dtype == expected.dtype
            assert (found - expected).abs().max() < 1e-2 * expected.abs().max()  # bf16: 4e-3


@needs_packing
@pytest.mark.parametrize(("side", "kept"), [(8, ["packed", "packed_back"]), (4, ["rounded"])])
def test_weights_are_kept_in_the_one_form_that_is_multiplied(side, kept):
    packed = locked(nn.Conv2d(32, 48, 3, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        packed(torch.randn(1, 32, side, side))
    assert packed.packed_back is None
    passes(packed, torch.randn(1, 32, side, side))
    forms = "packed", "packed_back", "rounded"
    assert [form for form in forms if getattr(packed, form) is not None] == kept


@needs_packing
@needs_paging
def test_mapped_weights_leave_the_memory_and_are_saved_as_they_were(tmp_path):
    layer = nn.Linear(2048, 4096, bias=False)  # 32 MiB
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    expected = layer.weight.detach().clone()
    mapped = torch.load(tmp_path / "weights.pt", mmap=True, weights_only=True)
    layer.load_state_dict(mapped, assign=True)
    packed = locked_in_place(layer)
    mapped["weight"].sum()  # all pages are in memory
    before = mapped_memory()
    passes(packed, torch.randn(1, 1, 2048))
    assert before - mapped_memory() > 24 * 2**20
    assert torch.equal(packed.state_dict()["weight"], expected)


@needs_packing
def test_beyond_mixed_precision_and_in_the_state_nothing_changes():
    layer, x = nn.Conv2d(32, 16, 3, padding=1), torch.randn(1, 32, 8, 8)
    packed = locked(layer)
    passes(packed, x)
    assert torch.equal(packed(x), layer(x))
    assert list(packed.state_dict()) == ["weight", "bias"]
    assert torch.equal(packed.weight, layer.weight)


@needs_packing
def test_layers_that_are_trained_or_change_the_size_stay():
    network = nn.Sequential(
        nn.Linear(8, 8), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3), nn.SiLU()
    )
    network[1:].requires_grad_(False)
    before = [type(layer) for layer in network]
    lock_layers(network)
    assert [type(layer) for layer in network] == before


def test_layers_stay_on_a_processor_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert type(locked(nn.Linear(8, 8))) is nn.Linear
