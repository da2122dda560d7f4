"""YAML files, read with OmegaConf: interpolation inside the file, nothing from outside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")  # `${oc.env:HOME}`; a plain `${a.b}` has no colon


def read_yaml(path: str | Path) -> DictConfig | ListConfig:
    """Content of a YAML file whose `${...}` refer to values of the same file.

    Numbers without a point, such as `18215e-5`, are numbers here (PyYAML alone makes them text).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, an interpolation that leads nowhere, or one that calls a resolver, which
            could read the environment or run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        content = OmegaConf.load(path)
        for text in _texts(OmegaConf.to_container(content, resolve=False)):
            if found := RESOLVER.search(text):
                raise ValueError(
                    f"{path}: {text!r} calls the resolver {found[1]}, which is off here. "
                    "Write the value itself."
                )
        OmegaConf.to_container(content, resolve=True)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    return content


def _texts(node) -> Iterator[str]:
    """All texts in nested dictionaries and lists."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)
