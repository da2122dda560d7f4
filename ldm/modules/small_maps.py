"""Convolutions of small maps as products of two matrices, for training on a CPU in bf16.

oneDNN turns all weights around before a convolution, and gradients of weights afterwards. At the
8x8 pixels of the deepest level of Stable Diffusion 1.5 (1,280 channels, one thread of an Intel
processor with AMX) that is nearly all of the time: result, gradient of the input and gradient of
the weights take 25, 35 and 133 ms. The products take 5, 7 and 9 ms, and leave the weights as they
lie. At 16x16 pixels it is 38, 67 and 186 ms against 22, 28 and 15. Where maps have more pixels than
channels, what the product reads is no longer small beside the weights, and oneDNN is faster.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn


def is_small(x: torch.Tensor, layer: nn.Conv2d) -> bool:
    """Tell whether the maps of a batch have fewer pixels than the layer's result has channels."""
    height, width = layer.stride
    return x.numel() // (x.shape[1] * height * width) < layer.out_channels


def convolve_small(x, layer: nn.Conv2d, multiply: Callable):
    """(N, in_channels, H, W) -> (N, out_channels, H', W') with the place of `layer`.

    Args:
        multiply: linear function from (pixels, in_channels * h * w) to (pixels, out_channels).
    """
    height, width = x.shape[2:]
    # (N, in_channels * h * w, H' * W')
    patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    y = multiply(rearrange(patches, "n k l -> (n l) k"))  # (N * H' * W', out_channels)
    height, width = _size(height, 0, layer), _size(width, 1, layer)
    return rearrange(y, "(n h w) c -> n c h w", h=height, w=width)  # (N, out_channels, H', W')


def _size(size, axis, layer):
    """Height (axis 0) or width (axis 1) of the result for a map of that `size`."""
    reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
    return (size + 2 * layer.padding[axis] - reach - 1) // layer.stride[axis] + 1
