"""Networks with published weights, and pictures as tensors, for all detectors that have them."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from annotator.util import HWC3
from annotator.weights import find_checkpoint
from core.fetching.downloads import WeightsFile
from core.weights.checkpoints import load_state_dict, load_strictly


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint by name, floating-point ones as float32.

    `module.`, which data-parallel training puts before names, is taken off.
    """
    # Counters of batch norms stay whole numbers; weights of half precision become float32.
    return {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in load_state_dict(path).items()
    }


def load_network(
    network: type[nn.Module],
    file: WeightsFile,
    weights: str | Path | None,
    device: str | torch.device,
    unused: tuple[str, ...] = (),
) -> nn.Module:
    """A network with published weights, in evaluation mode.

    Args:
        weights: as in `find_checkpoint`.
        unused: beginnings of the names of further tensors in the published file.
    Raises:
        FileNotFoundError: no weights, and no way to download them.
        ValueError: the file is no checkpoint, or loading it would run code.
        RuntimeError: tensors are missing, or the file holds others than these.
    """
    path = find_checkpoint(file, weights)
    # On `meta`, tensors take no memory and draw no random numbers; the file replaces all of them.
    with torch.device("meta"):
        model = network()
    source = f"{path}, expected {file.name}"
    load_strictly(model, read_tensors(path), source, may_be_left_over=unused)
    return model.to(device).eval().requires_grad_(False)


def to_tensor(images: list[np.ndarray], device: str | torch.device) -> torch.Tensor:
    """Pictures of one size, as `HWC3` takes them, as float32 (N, 3, H, W) in 0..255, RGB."""
    pixels = torch.from_numpy(np.stack([HWC3(image) for image in images]))  # (N, H, W, 3)
    # Bytes go to the device and become floats there: a quarter of the transfer.
    return rearrange(pixels.to(device), "n h w c -> n c h w").float()  # (N, 3, H, W)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of (N, C, H, W) until both sides divide by `multiple`."""
    height, width = x.shape[2:]
    # -n % m is what n lacks to the next multiple of m: Python's remainders are never negative.
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")
