"""YAML files, read with OmegaConf: interpolation inside the file, nothing from outside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

REFERENCE = re.compile(r"\$\{[^${}:]*\}")  # `${a.b}`, the value at that place of the file
RESOLVER = re.compile(r"\$\{\s*([^{}:]*?)\s*:")  # `${oc.env:HOME}`, a call


def read_yaml(path: str | Path) -> DictConfig | ListConfig:
    """Content of a YAML file whose `${...}` refer to values of the same file.

    Numbers without a point, such as `18215e-5`, are numbers here (PyYAML alone makes them text).

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, an interpolation that leads nowhere, or one that calls a resolver,
            which could read the environment or run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        content = OmegaConf.load(path)
    except OmegaConfBaseException as error:  # braces that do not match
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    # Interpolations are filled in on access; tried here, a wrong one is reported with the file.
    try:
        to_plain(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return content


def to_plain(content: DictConfig | ListConfig) -> dict | list:
    """Dictionaries and lists of Python with every interpolation replaced by its value.

    Raises:
        ValueError: an interpolation leads nowhere or calls a resolver.
    """
    # Searched before anything is resolved: resolving is what calls them.
    for text in _texts(OmegaConf.to_container(content, resolve=False)):
        if found := _call(text):
            raise ValueError(
                f"{text!r} calls the resolver {found[1]}, which is off here. "
                "Write the value itself."
            )
    try:
        return OmegaConf.to_container(content, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(" ".join(str(error).split())) from error


def _call(text: str) -> re.Match | None:
    """The first call of a resolver in `text`; references inside it, as in `${${a}:b}`, are cut."""
    # From the inside out: a reference may hold another, as `${a.${b}}` does.
    while (without := REFERENCE.sub("_", text)) != text:
        text = without
    return RESOLVER.search(text)


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
