"""Backbones: the facts that their authors published, and the networks made of them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.checkpoints import load_state_dict
from core.downloads import WeightsFile
from fid.images import Preprocessing


def tensors_without(heads: tuple[str, ...], path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint of one of torchvision's networks, without some layers.

    Files from before torch 0.4.1 lack the counters of batch norms. Only training reads them, so
    they are filled in.

    Args:
        heads: beginnings of names that are left out.
    Raises:
        FileNotFoundError, ValueError: as `load_state_dict`.
    """
    tensors = load_state_dict(path)
    norms = [name.removesuffix("running_var") for name in tensors if name.endswith("running_var")]
    # What the file says about them wins.
    counters = {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
    tensors = counters | tensors
    return {name: tensors[name] for name in tensors if not name.startswith(heads)}


def no_norms(path: Path) -> None:
    """None: files of this backbone hold no constants of the normalisation."""


@dataclass(frozen=True)
class PublishedBackbone:
    """An entry of the registry: everything that is known of a backbone before it is loaded.

    Attributes:
        name: value of the options that choose it.
        about: what distinguishes it, for the help.
        weights: the published file.
        build: function that makes the network, (N, C, size, size) -> (N, width), without weights.
        read: function from a weights file to the tensors of `build()`, by its names.
        preprocessing: what the network takes; its `size` is the network's own input size.
        width: number of features of an image.
        result_name: its name in results; `name` when not given.
        content: published name of the file's content, for results; the file's path when not given.
        read_norms: function from a weights file to the (mean, std) that it brings along, which
            replace those of `preprocessing`, or None.
    """

    name: str
    about: str
    weights: WeightsFile
    build: Callable[[], nn.Module]
    read: Callable[[Path], dict[str, torch.Tensor]]
    preprocessing: Preprocessing
    width: int
    result_name: str | None = None
    content: str | None = None
    read_norms: Callable[[Path], tuple[float, float] | None] = no_norms


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
