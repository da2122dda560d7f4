"""Backbones: the facts that their authors published, and how files of weights are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.fetching.downloads import WeightsFile
from fid.preprocessing import Preprocessing

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import torch
    from torch import nn


def tensors_without(heads: tuple[str, ...], path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a torchvision network's checkpoint, without some layers.

    Files from before torch 0.4.1 lack the counters of batch norms. Only training reads them, so
    they are filled in.

    Args:
        heads: beginnings of names that are left out.
    Raises:
        FileNotFoundError, ValueError: as `load_state_dict`.
    """
    import torch  # here, as below: the registry is read before torch is loaded

    from core.weights.checkpoints import load_state_dict

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
