"""Conversion of a control branch between our layout and that of diffusers, from file to tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from cldm.configuration import read_config
from cldm.control_weights.diffusers_layout import (
    CONFIG,
    check_config,
    count_hint_channels,
    diffusers_config,
    from_diffusers,
    read_diffusers,
    to_diffusers,
)
from cldm.model import build_control, load_control
from cldm.names import CONTROL
from core.weights.checkpoints import check_finite


class Converted(NamedTuple):
    """A control branch in the layout that was asked for.

    Attributes:
        tensors: by their names in that layout.
        hint_channels: of the branch.
        config: what diffusers writes beside the tensors.
    """

    tensors: dict[str, torch.Tensor]
    hint_channels: int
    config: dict


def convert_to_diffusers(path: Path, config_path: Path) -> Converted:
    """The branch of one of our files as diffusers names it.

    Raises:
        FileNotFoundError, RuntimeError: as `load_control` and `to_diffusers`.
        ValueError: the configuration asks for what diffusers does not have, or as `check_finite`.
    """
    params = read_config(config_path)["params"]
    if params.get("only_mid_control"):
        raise ValueError(
            f"{config_path}: only_mid_control is true, which diffusers does not have. "
            "Only branches that use all their residuals can be converted."
        )
    tensors = load_control(path)
    control = _branch_for(tensors, path, config_path)
    config = diffusers_config(control, params.get("global_average_pooling", False))
    return Converted(to_diffusers(control, tensors, path), control.hint_channels, config)


def convert_to_ours(path: Path, config_path: Path) -> Converted:
    """The branch of diffusers' folder or file as `control_model.*`.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `read_diffusers`, `check_finite`,
            `check_config` and `from_diffusers`.
    """
    params = read_config(config_path)["params"]
    tensors, found = read_diffusers(path)
    control = _branch_for(tensors, path, config_path)
    config = diffusers_config(control, params.get("global_average_pooling", False))
    if found:
        check_config(found, config, path / CONFIG)
    converted = from_diffusers(control, tensors, path)
    named = {f"{CONTROL}{name}": tensor for name, tensor in converted.items()}
    return Converted(named, control.hint_channels, config)


def _branch_for(tensors: Mapping[str, torch.Tensor], path: Path, config_path: Path):
    """A branch without weights that the tensors fit; raises ValueError like `check_finite`."""
    check_finite(tensors, path)
    with torch.device("meta"):  # only names and shapes are asked for
        return build_control(config_path, count_hint_channels(tensors, path))
