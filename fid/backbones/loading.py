"""Backbones with their weights."""

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.fetching.downloads import find_weights
from core.files import sha256_of
from core.hardware.device_options import pick_device
from core.weights.checkpoints import load_strictly
from fid.backbones import BACKBONES, WEIGHTS_DIR, PublishedBackbone
from fid.backbones.options import BackboneOptions
from fid.preprocessing import Preprocessing


@dataclass(frozen=True)
class Backbone:
    """A network ready to turn images into features.

    Attributes:
        name: as results state it.
        network: (N, C, size, size) -> (N, width), in evaluation mode.
        preprocessing: from pixels to its input.
        width: number of features of an image.
        weights: the file, or the published name of its content.
        sha256: of the weights file.
        device: where the network lies.
    """

    name: str
    network: nn.Module
    preprocessing: Preprocessing
    width: int
    weights: str
    sha256: str
    device: torch.device

    @torch.inference_mode()
    def features(self, batch: torch.Tensor) -> np.ndarray:
        """Features of prepared images, (N, C, size, size) -> float32 (N, width).

        Raises:
            ValueError: some features are not finite, so the weights are damaged.
        """
        batch = batch.to(self.device, memory_format=torch.channels_last)
        # TF32 rounds to 10 bits of mantissa: GPUs of different makes would give different scores.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            features = self.network(batch).float().cpu().numpy()  # (N, width)
        if not np.isfinite(features).all():
            raise ValueError(
                f"{self.weights}: gives features that are not finite. The file is damaged or "
                "belongs to another network."
            )
        return features

    def settings(self) -> dict:
        """Facts that two scores must share to be comparable."""
        return {"backbone": self.name, "weights_sha256": self.sha256, **asdict(self.preprocessing)}


def load_backbone(options: BackboneOptions, weights_option: str = "--weights-path") -> Backbone:
    """The backbone that `options` choose, with its weights, in evaluation mode.

    Args:
        weights_option: the script's name for `options.weights_path`, for messages.
    Raises:
        ValueError: the device is not there, or the file is no checkpoint (see `load_state_dict`),
            or the published one of another backbone.
        FileNotFoundError, OSError: the weights are not there; see `find_weights`.
        RuntimeError: the weights belong to another network.
    """
    # The device first: a wrong name should not cost a download.
    published, device = BACKBONES[options.network], pick_device(options.device)
    # The second folder is where torch.hub, and with it the published scripts, leave their
    # downloads.
    folders = [WEIGHTS_DIR, Path(torch.hub.get_dir()) / "checkpoints"]
    given, target = options.weights_path, options.download_dir
    path = find_weights(published.weights, weights_option, given, folders, target)
    checksum = sha256_of(path)
    _refuse_weights_of_another(published, path, checksum)
    network = published.build()
    tensors = {name: _own_memory(value) for name, value in published.read(path).items()}
    load_strictly(network, tensors, path)
    # Convolutions are faster where the channels come last in memory.
    network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    preprocessing = published.preprocessing
    if norms := published.read_norms(path):  # a network trained on other images has others
        mean, std = norms
        preprocessing = dataclasses.replace(preprocessing, mean=(mean,), std=(std,))
    if options.image_size is not None:
        preprocessing = dataclasses.replace(preprocessing, size=options.image_size)
    return Backbone(
        name=published.result_name or published.name,
        network=network,
        preprocessing=preprocessing,
        width=published.width,
        # A user's own file is named; the published one goes by its content's name on all machines.
        weights=str(path) if given or not published.content else published.content,
        sha256=checksum,
        device=device,
    )


def _refuse_weights_of_another(published: PublishedBackbone, path: Path, checksum: str) -> None:
    """Raise ValueError for a file that another backbone has, of the same layers perhaps."""
    for other in BACKBONES.values():
        file = other.weights
        is_its = path.name == file.name or (file.sha256 and checksum.startswith(file.sha256))
        if is_its and file != published.weights:
            raise ValueError(
                f"{path}: has the weights of {other.name}, not of {published.name}. Choose that "
                "network, or other weights."
            )


def _own_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as a network computes with it: float32, each number with a place of its own.

    A file may hold half precision, or one number that stands for a whole tensor.
    """
    return tensor.float().contiguous() if tensor.is_floating_point() else tensor.contiguous()
