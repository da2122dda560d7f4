"""Weights of frozen layers, stored once in the order that oneDNN multiplies them in.

On a CPU, torch brings the weights of a convolution or a linear layer into that order at every call.
In a network that only evaluates, they can stay there. For the guided step of Stable Diffusion 1.5
at 512 pixels in bf16 (one thread of an Intel processor with AMX) that takes 0.62 to 0.75 of the
time. Products are the same to the last bit.

In float32 torch multiplies by MKL where nothing is packed, and rounds in another order. On Intel
processors packing took 0.8 to 1.1 of the time of a guided step; elsewhere MKL can have less than
half of oneDNN's rate. So some layers are measured, and each kind is packed where it is clearly
faster. Which one it is must not change between two runs on a processor, whatever runs beside: their
images would differ in the last bits.
"""

import functools
from functools import partial

import torch
from torch import nn

from core.hardware.measuring import share_of_time
from ldm.modules.diffusionmodules.util import Upsample


def can_pack(dtype: torch.dtype = torch.bfloat16) -> bool:
    """True where torch has the functions that use packed weights, and oneDNN this type.

    Processors without AVX-512 or its like have no bf16 there: packing would be an error.
    """
    names = (
        "_is_mkldnn_bf16_supported",
        "_reorder_linear_weight",
        "_linear_pointwise",
        "_convolution_pointwise",
    )
    return (
        torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, name) for name in names)
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
        and (dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


FLOAT32_SHARE = 0.75  # of the time: layers in float32 are packed where it takes less
MEASURED_FROM = 10**8  # parameters of a network; smaller ones would lose at their start


def _kind(layer: nn.Module) -> str | None:
    """Layers of one kind are packed together; None for those that never are."""
    if type(layer) is nn.Linear:
        return "linear"
    if type(layer) is nn.Conv2d:
        return "pointwise" if layer.kernel_size == (1, 1) else "kernel"
    return None


# Kind -> layer and input as Stable Diffusion 1.5 has them for images of 512 pixels
EXAMPLES = {
    "linear": lambda: (nn.Linear(640, 2560), torch.ones(2048, 640)),
    "pointwise": lambda: (nn.Conv2d(640, 640, 1), torch.ones(2, 640, 32, 32)),
    "kernel": lambda: (nn.Conv2d(1280, 1280, 3, padding=1), torch.ones(2, 1280, 16, 16)),
}


@functools.cache
def share_in_float32(kind: str) -> float:
    """CPU time of a packed layer in float32, as a share of the plain one's.

    Args:
        kind: of `EXAMPLES`. All of them take about 1.5 s to measure, on one thread.
    """
    plain, x = EXAMPLES[kind]()
    with torch.inference_mode():
        return share_of_time(partial(_pack(plain), x), partial(plain, x))


def pack_matrix(weight: torch.Tensor) -> torch.Tensor:
    """Packed weights, (out_features, in_features) for `multiply`."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def multiply(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """(..., in_features) -> (..., out_features)."""
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def pack_kernels(weight: torch.Tensor, place: tuple) -> torch.Tensor:
    """Packed weights, (out_channels, in_channels, h, w) for `convolve`.

    Args:
        place: padding, stride, dilation and groups.
    """
    return torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), *place)


def convolve(
    x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None, place: tuple
) -> torch.Tensor:
    """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
    # Channels last: that is how oneDNN reads its input, and it would turn it at every call.
    x = x.contiguous(memory_format=torch.channels_last)
    return torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *place, "none", [], "")


class PackedLinear(nn.Module):
    """A linear layer that cannot be trained or saved any more.

    Attributes:
        weight: packed; no parameter, for nothing but oneDNN can read it.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.weight = pack_matrix(layer.weight.detach())
        self.bias = layer.bias

    def forward(self, x):
        """(..., in_features) -> (..., out_features), in the type of the weights."""
        x = x.to(self.weight.dtype)  # (..., in_features)
        return multiply(x, self.weight, self.bias)  # (..., out_features)


class PackedConv2d(nn.Module):
    """A convolution that cannot be trained or saved any more; `weight` as in `PackedLinear`."""

    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        self.place = layer.padding, layer.stride, layer.dilation, layer.groups
        self.weight = pack_kernels(layer.weight.detach(), self.place)
        self.bias = layer.bias

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H', W'), in the type of the weights."""
        x = x.to(self.weight.dtype)  # (N, in_channels, H, W)
        return convolve(x, self.weight, self.bias, self.place)  # (N, out_channels, H', W')


def _pack(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The layer with packed weights."""
    return PackedLinear(layer) if type(layer) is nn.Linear else PackedConv2d(layer)


def _kinds_to_pack(network: nn.Module) -> set[tuple[str, torch.dtype]]:
    """Kinds and types of the layers that are faster when packed."""
    found = {(kind, torch.bfloat16) for kind in EXAMPLES} if can_pack() else set()
    size = sum(parameter.numel() for parameter in network.parameters())
    if can_pack(torch.float32) and size >= MEASURED_FROM:
        faster = (kind for kind in EXAMPLES if share_in_float32(kind) < FLOAT32_SHARE)
        found |= {(kind, torch.float32) for kind in faster}
    return found


def pack_layers(network: nn.Module) -> None:
    """Replace linear layers and convolutions by packed ones where these are faster, in place.

    The old weights are dropped layer by layer, so that a network takes as much memory as before;
    weights in float32 that were mapped from a file are copied. Types that `can_pack` refuses stay.

    Args:
        network: on the CPU. It must run without gradients from now on.
    """
    kinds = _kinds_to_pack(network)
    for parent in network.modules():
        if isinstance(parent, Upsample):
            continue  # it slices large maps, and reads the weights for each slice
        for name, layer in parent.named_children():
            kind = _kind(layer)
            if kind and (kind, layer.weight.dtype) in kinds:
                setattr(parent, name, _pack(layer))
