"""Configurations of models: YAML files of this family, and the sizes of images that they allow."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

from core.command_line.options import OptionError
from core.yaml_files import read_yaml, to_plain
from ldm.modules.diffusionmodules.util import size_factor
from ldm.util import find_class

# Values that are read before a model is built, so no constructor reports that they are missing.
UNET_LEVELS = "unet_config.params.channel_mult"
AUTOENCODER_LEVELS = "first_stage_config.params.ddconfig.ch_mult"
SIZE_KEYS = {"image_size": int, UNET_LEVELS: list, AUTOENCODER_LEVELS: list}
# The same networks without the Trainer's methods: Lightning takes seconds to load.
PLAIN_TARGETS = {
    "cldm.cldm.ControlLDM": "cldm.controlnet.ControlledDiffusionModel",
    "cldm.cldm.ControlNet": "cldm.controlnet.ControlNet",
    "cldm.cldm.ControlledUnetModel": "cldm.controlnet.ControlledUnetModel",
    "ldm.models.diffusion.ddpm.LatentDiffusion": (
        "ldm.models.diffusion.latent_diffusion.LatentDiffusionModel"
    ),
}


def read_config(
    path: str | Path, overrides: Mapping | None = None, published: bool = False
) -> dict:
    """The `model:` part of a YAML of this family, in plain dictionaries with all values filled in.

    Args:
        overrides: as `config_overrides` of `build_model`.
        published: leave published targets as they are, not as `PLAIN_TARGETS` has them.
    Raises:
        FileNotFoundError, ValueError: as `read_yaml`.
        ValueError: `overrides` has other parts than `model`.
        ValueError: no `model:` that has `target:` and `params:`, a number that is not finite, one
            of `SIZE_KEYS` is missing, or as `find_class`.
    """
    config = read_yaml(path)
    if overrides:
        if unknown := sorted(set(overrides) - {"model"}):
            raise ValueError(f"config_overrides: found {unknown}, expected model")
        config = OmegaConf.merge(config, overrides)
    config = to_plain(config)
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("params"), dict):
        raise ValueError(f"{path}: expected a `model:` with `target:` and `params:`")
    if bad := _not_finite(model["params"]):
        raise ValueError(f"{path}: {bad} is not a finite number. Write the published value.")
    if not published:
        model = _with_plain_targets(model)
    find_class(model)  # a refused target says more than the sizes that it lacks
    for key, kind in SIZE_KEYS.items():
        found = _value_at(model["params"], key)
        if not isinstance(found, kind):
            raise ValueError(
                f"{path}: does not describe a model of this family (model.params.{key}: found "
                f"{found!r}, expected {kind.__name__})"
            )
    return model


def _with_plain_targets(node):
    """Nested dictionaries with the targets of `PLAIN_TARGETS`; a user's own targets stay."""
    if not isinstance(node, dict):
        return node
    node = {key: _with_plain_targets(value) for key, value in node.items()}
    if isinstance(target := node.get("target"), str):
        node["target"] = PLAIN_TARGETS.get(target, target)
    return node


def _value_at(node, key: str):
    """The value at `a.b.c` of nested dictionaries; None where there is none."""
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


@contextmanager
def constructor_errors(config_path: str | Path) -> Iterator[None]:
    """Name the configuration where a constructor finds parameters missing or unknown.

    Raises:
        ValueError: in place of the constructor's TypeError or KeyError.
    """
    try:
        yield
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{config_path}: does not describe a model of this family ({error})"
        ) from error


def _not_finite(node, name: str = "params") -> str | None:
    """Dotted name of the first NaN or infinity in nested dictionaries and lists."""
    if isinstance(node, float) and not math.isfinite(node):
        return name
    if not isinstance(node, dict | list):
        return None
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    found = (_not_finite(value, f"{name}.{key}") for key, value in entries)
    return next(filter(None, found), None)


def native_size(config: dict) -> int:
    """Side in pixels of the images that a configuration is made for.

    It is the side of the latents times the autoencoder's factor.
    """
    params = config["params"]
    return params["image_size"] * size_factor(_value_at(params, AUTOENCODER_LEVELS))


def size_multiple(config: dict) -> int:
    """Number that divides height and width of every image: autoencoder's factor times U-Net's."""
    params = config["params"]
    autoencoder = size_factor(_value_at(params, AUTOENCODER_LEVELS))
    return autoencoder * size_factor(_value_at(params, UNET_LEVELS))


def image_side(config: dict, asked: int | None, source: str | Path) -> int:
    """Side in pixels of images: what is asked for, or what the configuration is made for.

    Args:
        asked: None for the configuration's own size.
        source: of the configuration, for the message.
    Raises:
        OptionError: for the field `image_size`: the model cannot take this size.
    """
    if asked is None:
        return native_size(config)
    multiple = size_multiple(config)
    if asked % multiple:
        raise OptionError("image_size", f"{asked}, expected a multiple of {multiple} for {source}")
    return asked
