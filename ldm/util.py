"""Objects from a YAML `target:`; a file cannot name code of its own choice."""

import importlib

import torch
from omegaconf import DictConfig, OmegaConf

from core.yaml_files import to_plain

# Packages whose classes published configurations name. A target elsewhere could run any code.
ALLOWED_PACKAGES = ("cldm.", "ldm.", "torch.nn.")


def find_class(config: dict) -> type[torch.nn.Module]:
    """The class that `config["target"]` names.

    Raises:
        ValueError: no target, a target outside `ALLOWED_PACKAGES`, no such class, or a class that
            is no network module.
    """
    target = config.get("target") if isinstance(config, dict) else None
    if not isinstance(target, str):
        raise ValueError(
            f"configuration without a target: {config!r}. "
            "Each part needs `target:` and, where it has any, `params:`."
        )
    if not target.startswith(ALLOWED_PACKAGES):
        raise ValueError(
            f"target {target!r} refused: a configuration may only name classes of "
            "cldm, ldm and torch.nn"
        )
    module_name, _, class_name = target.rpartition(".")
    # Importing runs the module's code, so the check of the package comes before it.
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"target {target!r}: no such class ({error})") from error
    # The allowed packages hold functions as well, and a configuration must not call one.
    if not (isinstance(cls, type) and issubclass(cls, torch.nn.Module)):
        raise ValueError(f"target {target!r} refused: it is no torch.nn.Module")
    return cls


def instantiate_from_config(config: dict | DictConfig) -> torch.nn.Module:
    """Build `config["target"]` with `config["params"]`.

    Args:
        config: a dictionary, or a node of OmegaConf, whose interpolations are filled in.
    Raises:
        ValueError: as `find_class`.
    """
    if OmegaConf.is_config(config):
        config = to_plain(config)
    return find_class(config)(**(config.get("params") or {}))
