"""Layers that are trained on a CPU in bf16: their weights are rounded for each product.

Autocast rounds them once for a step, and the backward pass keeps the rounded ones until it uses
them: 0.7 GiB for the control branch of Stable Diffusion 1.5. Rounding them twice takes a hundredth
of the step. Convolutions of small maps are products of matrices, see `ldm.modules.small_maps`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from core.hardware.devices import in_bf16
from ldm.modules.packing import can_pack
from ldm.modules.small_maps import convolve_small, is_small


class _Linear(torch.autograd.Function):
    """Linear layer in bf16, and gradients as autocast gives them.

    Those of weights are computed in bf16 and returned in the type of the weights.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        """(..., inputs), (outputs, inputs) and (outputs,) or None -> (..., outputs)."""
        ctx.save_for_backward(x, weight)
        bias = None if bias is None else bias.to(x.dtype)  # (outputs,)
        return F.linear(x, weight.to(x.dtype), bias)  # (..., outputs)

    @staticmethod
    def backward(ctx, grad):
        """Gradients of input, weight and bias, where they are wanted."""
        x, weight = ctx.saved_tensors
        wanted, found = ctx.needs_input_grad, [None, None, None]
        rows = grad.flatten(0, -2)  # (samples, outputs)
        if wanted[0]:
            found[0] = grad @ weight.to(grad.dtype)  # (..., inputs)
        if wanted[1]:
            found[1] = (rows.t() @ x.flatten(0, -2)).to(weight.dtype)  # (outputs, inputs)
        if wanted[2]:
            found[2] = rows.sum(0).to(weight.dtype)  # (outputs,)
        return tuple(found)


class TrainedLinear(nn.Linear):
    """A linear layer that rounds its weights for each product under autocast to bf16."""

    def forward(self, x):
        """(..., in_features) -> (..., out_features)."""
        if in_bf16():
            return _Linear.apply(x.to(torch.bfloat16), self.weight, self.bias)
        return super().forward(x)


class TrainedConv2d(nn.Conv2d):
    """A convolution that is a product of matrices for small maps under autocast to bf16."""

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        if in_bf16() and is_small(x, self):
            return convolve_small(x.to(torch.bfloat16), self, self._multiply)
        return super().forward(x)

    def _multiply(self, rows):
        return _Linear.apply(rows, self.weight.flatten(1), self.bias)


def round_trained_layers(network: nn.Module) -> None:
    """Turn linear layers and plain convolutions into those above; parameters and names stay.

    Where `can_pack` is false, nothing changes.

    Args:
        network: on the CPU.
    """
    if not can_pack():
        return
    for layer in network.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = TrainedLinear
        elif _is_plain(layer):
            layer.__class__ = TrainedConv2d


def _is_plain(layer: nn.Module) -> bool:
    """Tell whether this is a convolution that `convolve_small` computes."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)  # torch allows a word
    )
