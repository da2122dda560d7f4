"""Weights of layers, rounded once to the 16 bits that they are multiplied in.

`torch.autocast` rounds the weights of linear layers and convolutions at every call, or keeps the
rounded beside the full ones. The norms of the U-Net and its branch round theirs at every call, too.
Rounded while they are read, they take half the memory, and what is computed stays the same to the
last bit. Embeddings, the text encoder's norms and the autoencoder stay float32.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from cldm.names import AUTOENCODER
from core.command_line.options import OptionError
from ldm.modules.diffusionmodules.util import GroupNorm, LayerNorm

ROUNDED_LAYERS = nn.Linear, _ConvNd, GroupNorm, LayerNorm
PART = 128 * 2**20  # bytes: fewer are not worth mapping a file anew
FLOAT16_END = torch.finfo(torch.float16).max


def rounded_names(model: nn.Module) -> set[str]:
    """Names of the weights and biases to round, whatever their type is now.

    Those of the autoencoder stay: it computes in float32 where float16 would overflow.
    """
    return {
        f"{name}.{part}"
        for name, layer in model.named_modules()
        if isinstance(layer, ROUNDED_LAYERS) and not name.startswith(AUTOENCODER)
        for part, _ in layer.named_parameters(recurse=False)
    }


def round_layers(model: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of a model that `rounded_names` lists, in place.

    Raises:
        OptionError: as `rounded`.
    """
    parameters = dict(model.named_parameters())
    for name in rounded_names(model):
        parameters[name].data = rounded(parameters[name].data, dtype, "the model", name)


def rounded(tensor: torch.Tensor, dtype: torch.dtype, source: str, name: str) -> torch.Tensor:
    """A copy of a tensor in another type.

    Args:
        source, name: file and name of the tensor, for the message.
    Raises:
        OptionError: a value is beyond the range of float16, named for `layer_dtype`.
    """
    if dtype == torch.float16 and tensor.abs().max() > FLOAT16_END:
        raise OptionError(
            "layer_dtype",
            f"{source}: {name} holds values beyond {FLOAT16_END:g}, where float16 ends. "
            "Those of bfloat16 end where float32 does.",
        )
    return tensor.to(dtype, copy=True)


def read_rounded(
    read: Callable[[], Mapping[str, torch.Tensor]],
    model: nn.Module,
    dtype: torch.dtype,
    source: str | Path,
) -> dict[str, torch.Tensor]:
    """Copies of a file's tensors for `model`, its layers in `dtype` and everything else in float32.

    What was read of a mapped file counts as memory of the process until the file is mapped anew.
    That is done as often as it takes to stay within the memory of all copies.

    Args:
        read: function that maps the file and returns its tensors by name.
        source: the file, for messages.
    Returns:
        All names of the file. A tensor that the model does not have is on the meta device.
    Raises:
        OptionError: as `rounded`.
    """
    layers, own = rounded_names(model), model.state_dict()
    tensors = read()
    copies = {name: tensor.to("meta") for name, tensor in tensors.items() if name not in own}
    types = {name: dtype if name in layers else own[name].dtype for name in tensors if name in own}
    missing = sum(tensors[name].numel() * types[name].itemsize for name in types)  # bytes of copies
    todo = list(types)
    while todo:
        tensors, in_part = read(), 0
        # A part takes its own bytes and those of its copies, most often half as many.
        part = max(PART, missing * 2 // 3)
        while todo and in_part < part:
            name = todo.pop()
            in_part += tensors[name].nbytes
            copies[name] = rounded(tensors[name], types[name], str(source), name)
            missing -= copies[name].nbytes
    return copies
