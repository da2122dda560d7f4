"""The network of the backbones for electron micrographs, and its tensors in files."""

import math
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet50

from core.weights.checkpoints import load_state_dict
from core.weights.torch_files import load_pickle
from core.weights.weight_files import is_safetensors

# Beginnings of the backbone's names in a checkpoint; the first that is found counts. MoCo keeps the
# backbone in an encoder, SwAV's model is the backbone; `module.` comes from parallel training.
PREFIXES = ("module.encoder_q.", "encoder_q.", "module.encoder.", "encoder.", "module.", "")
HEADS = ("fc.", "projection_head.", "prototypes.")  # what sits on a backbone during its training


def grey_resnet50() -> nn.Module:
    """torchvision's ResNet-50 with one input channel.

    The published SwAV network pads by 1 before a stem that pads by 2; together that is the stem's
    padding of 3 here. Residual blocks of a new network add nothing (Goyal et al. 2017): with few
    images and steps it does not learn otherwise (docs/fid.md).
    """
    network = resnet50(zero_init_residual=True)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def headless_resnet50() -> nn.Module:
    """`grey_resnet50` up to its pooled features, (N, 1, size, size) -> (N, 2048)."""
    network = grey_resnet50()
    network.fc = nn.Identity()
    return network


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The backbone's tensors of a checkpoint by torchvision's names, without the heads.

    Raises:
        FileNotFoundError, ValueError: as `load_state_dict`.
    """
    tensors = load_state_dict(path)
    # The empty prefix fits every file, so one is always found.
    prefix = next(prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in tensors))
    inside = {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
    return {key: value for key, value in inside.items() if not key.startswith(HEADS)}


def read_norms(path: Path) -> tuple[float, float] | None:
    """Mean and standard deviation of the training images, where a checkpoint states them.

    Raises:
        ValueError: the file's `norms` are no such numbers.
    """
    # safetensors hold tensors alone.
    content = {} if is_safetensors(path) else load_pickle(path, "cpu")
    norms = content.get("norms")
    if norms is None:
        return None
    numbers = list(norms.values()) if isinstance(norms, dict) else norms  # by name: mean, then std
    if not _are_norms(numbers):
        raise ValueError(
            f"{path}: `norms` is {norms!r}, expected mean and standard deviation in [0, 1] units"
        )
    mean, std = map(float, numbers)
    return mean, std


def _are_norms(numbers) -> bool:
    """Tell whether `numbers` holds a finite mean and a finite standard deviation above 0."""
    if not isinstance(numbers, list | tuple) or len(numbers) != 2:
        return False
    finite = all(isinstance(x, float | int) and math.isfinite(x) for x in numbers)
    return finite and numbers[1] > 0
