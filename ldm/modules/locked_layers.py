"""Layers of a locked network in a training: packed once, with a gradient of their input alone.

Under autocast, torch rounds their weights at every call and brings them into oneDNN's order at
every call, and the backward pass does so again. Here both are done once, and the inputs of locked
convolutions are not kept. Products and gradients are the same to the last bit or nearly. On a CPU
in bf16 (one thread of an Intel processor with AMX), a training step of Stable Diffusion 1.5 takes
0.63 of the time. Weights that are packed for both directions take as many bytes as those in
float32, which stay for the checkpoints.
"""

import torch
from torch import nn

from ldm.modules.packing import can_pack, convolve, multiply, pack_kernels, pack_matrix


def _rounded(weight: torch.Tensor | None) -> torch.Tensor | None:
    return None if weight is None else weight.detach().to(torch.bfloat16)


class _Product(torch.autograd.Function):
    """Product of an input with the weights of a locked layer."""

    @staticmethod
    def forward(ctx, x, layer):
        ctx.layer = layer
        return layer.product(x)

    @staticmethod
    def backward(ctx, grad):
        return ctx.layer.gradient(grad), None


class _Locked:
    """A layer that computes with packed weights under autocast to bf16, and else as before.

    Its parameters stay under their names. After the first call they must not change any more.

    Attributes:
        packed, packed_back: weights for the product, and for the gradient of its input. Each is
            made when it is needed first: the encoder of a locked network has no gradient.
    """

    packed = packed_back = None

    def forward(self, x):
        """The layer's result, in bf16 under autocast."""
        if (
            not torch.is_autocast_enabled("cpu")
            or torch.get_autocast_dtype("cpu") != torch.bfloat16
        ):
            return super().forward(x)
        return _Product.apply(x.to(torch.bfloat16), self)


class LockedLinear(_Locked, nn.Linear):
    """A linear layer; see `_Locked`."""

    def product(self, x):
        """(..., in_features) -> (..., out_features)."""
        if self.packed is None:
            self.packed = pack_matrix(_rounded(self.weight))
        return multiply(x, self.packed, _rounded(self.bias))

    def gradient(self, grad):
        """(..., out_features) -> (..., in_features)."""
        if self.packed_back is None:
            self.packed_back = pack_matrix(_rounded(self.weight).t().contiguous())
        return multiply(grad.contiguous(), self.packed_back, None)


class LockedConv2d(_Locked, nn.Conv2d):
    """A convolution that keeps the size of its input; see `_Locked`."""

    @property
    def place(self):
        """The last argument of `convolve`, in both directions: kernels are odd, padded by half."""
        return self.padding, self.stride, self.dilation, self.groups

    def product(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        if self.packed is None:
            self.packed = pack_kernels(_rounded(self.weight), self.place)
        return convolve(x, self.packed, _rounded(self.bias), self.place)

    def gradient(self, grad):
        """(N, out_channels, H, W) -> (N, in_channels, H, W)."""
        if self.packed_back is None:
            turned = _rounded(self.weight).transpose(0, 1).flip(2, 3).contiguous()
            self.packed_back = pack_kernels(turned, self.place)
        return convolve(grad, self.packed_back, None, self.place)


def _keeps_size(layer: nn.Module) -> bool:
    """Tell whether this is a plain convolution whose gradient is one of the same place."""
    return (
        type(layer) is nn.Conv2d
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding == tuple(side // 2 for side in layer.kernel_size)
        and all(side % 2 for side in layer.kernel_size)
    )


def pack_locked_layers(network: nn.Module) -> None:
    """Turn linear layers and convolutions without trained weights into locked ones, in place.

    Where `can_pack` is false, nothing changes.

    Args:
        network: on the CPU, with the weights that it keeps, and with its trained parameters marked.
    """
    if not can_pack():
        return
    for layer in network.modules():
        if any(parameter.requires_grad for parameter in layer.parameters(recurse=False)):
            continue
        # The class alone changes: parameters, their names and what refers to the layer stay.
        if type(layer) is nn.Linear:
            layer.__class__ = LockedLinear
        elif _keeps_size(layer):
            layer.__class__ = LockedConv2d
