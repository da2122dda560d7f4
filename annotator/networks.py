"""What the detectors with a network share: published weights by name, and pictures as tensors."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from annotator.util import HWC3
from core.checkpoints import load_pickle, load_state_dict
from core.downloads import WeightsFile, find_weights

CKPTS = Path(__file__).parent / "ckpts"
CKPTS_VARIABLE = "ANNOTATOR_CKPTS"  # environment variable: another folder of weights, looked in first, and downloaded to
HUB = "https://huggingface.co/lllyasviel"


def published(
    name: str, folder: str = "ControlNet/resolve/main/annotator/ckpts", **known
) -> WeightsFile:
    """A file that the authors of ControlNet host."""
    return WeightsFile(name, f"{HUB}/{folder}/{name}", **known)


def find_checkpoint(file: WeightsFile, weights: str | Path | None = None) -> Path:
    """Path of a published file: `weights` is that file or a folder that holds it; without it see `CKPTS` and `CKPTS_VARIABLE`.

    A file that is missing is downloaded into the first folder that was looked in.

    Raises:
        FileNotFoundError, ValueError, OSError: as `find_weights`.
    """
    if weights is not None and not Path(weights).is_dir():
        return find_weights(file, Path(weights), option="--weights_path")
    folders = [weights] if weights else [*filter(None, [os.environ.get(CKPTS_VARIABLE)]), CKPTS]
    return find_weights(file, folders=list(map(Path, folders)), option="--weights_path")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint by name, as `load_state_dict`; also of files that keep them under `model`, beside an optimizer."""
    content = load_state_dict(path) if path.suffix == ".safetensors" else load_pickle(path, "cpu")
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    elif not isinstance(content, dict) or not any(map(torch.is_tensor, content.values())):
        content = load_state_dict(path)
    return {
        key.removeprefix("module."): value.float() if value.is_floating_point() else value
        for key, value in content.items()
    }


def load_network(
    network: type[nn.Module],
    file: WeightsFile,
    weights: str | Path | None,
    device: str | torch.device,
    spare: tuple[str, ...] = (),
) -> nn.Module:
    """A network with published weights, in evaluation mode.

    Args:
        weights: as in `find_checkpoint`.
        spare: prefixes of tensors that inference does not use: they may be missing, and so may any others be left over.
    Raises:
        FileNotFoundError: no weights, and no way to download them.
        RuntimeError: a file of another network.
    """
    path = find_checkpoint(file, weights)
    tensors = read_tensors(path)
    with torch.device("meta"):
        model = network()
    own = model.state_dict()
    for key in own.keys() - tensors.keys():
        if key.startswith(spare):
            tensors[key] = torch.zeros(own[key].shape, dtype=own[key].dtype)
    missing = [key for key in own if key not in tensors]
    left_over = [] if spare else [key for key in tensors if key not in own]
    wrong = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    if missing or left_over or wrong:
        raise RuntimeError(
            f"{path}: not the weights of {network.__name__} ({file.name}); {len(missing)} tensors missing {missing[:2]}, "
            f"{len(left_over)} left over {left_over[:2]}, {len(wrong)} of another shape {wrong[:2]}"
        )
    model.load_state_dict({key: tensors[key] for key in own}, assign=True)
    return model.to(device).eval().requires_grad_(False)


def to_tensor(images: list[np.ndarray], device: str | torch.device) -> torch.Tensor:
    """Pictures of one size, as `HWC3` takes them -> float32 (N, 3, H, W) in 0..255, RGB."""
    return (
        torch.from_numpy(np.stack([HWC3(image) for image in images]))
        .to(device)
        .permute(0, 3, 1, 2)
        .float()
    )


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of (N, C, H, W) until both sides divide by `multiple`."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % multiple, 0, -height % multiple), mode="replicate")
