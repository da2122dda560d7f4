"""YAML files, read with OmegaConf: interpolation inside the file, nothing from outside it."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

MAX_BYTES = 2**20  # of a file; published configurations have 3 kB
MAX_NODES = 100_000  # values of a file, those that `*name` repeats counted each time
# References to what holds references itself, in a file. Each can multiply the next ones: 24 make at
# most 3**8 copies, a hundred would fill any memory.
MAX_CHAINED = 24
REFERENCE = re.compile(r"\$\{[^${}:]*\}")  # `${a.b}`, the value at that place of the file
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)")
RESOLVER = re.compile(r"\$\{\s*([^{}:]*?)\s*:")  # `${oc.env:HOME}`, a call


def read_yaml(path: str | Path) -> DictConfig | ListConfig:
    """Content of a YAML file whose `${...}` refer to values of the same file.

    Numbers without a point, such as `18215e-5`, are numbers here (PyYAML alone makes them text).
    Whole numbers that YAML takes for others than people do, such as 014 for 12, are refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, an interpolation that leads nowhere, or one that calls a resolver,
            which could read the environment or run code; or a small file that grows without end,
            because its parts repeat each other.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such configuration file")
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: no regular file, or too large for a configuration")
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_growth(path, root)
        _check_numbers(path, root)
        content = OmegaConf.load(io.StringIO(text))
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply") from error
    except OmegaConfBaseException as error:  # braces that do not match
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    # Interpolations are filled in on access; tried here, a wrong one is reported with the file.
    try:
        _check_references(OmegaConf.to_container(content, resolve=False))
        to_plain(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return content


def _check_growth(path: Path, root: yaml.Node | None) -> None:
    """Refuse a file whose values would be too many once repeated parts are filled in."""
    if _count(root, {}) > MAX_NODES:
        raise ValueError(f"{path}: its values repeat each other too often")


def _check_numbers(path: Path, node: yaml.Node | None) -> None:
    """Refuse whole numbers that YAML 1.1 reads to the base of 8 or 60, or that `_` parts."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:int" and not DECIMAL.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise ValueError(
                f"{path}: line {node.start_mark.line + 1}: YAML reads {node.value} as {value}. "
                f"Write plain digits without a zero in front, or a text: '{node.value}'"
            )
    elif node is not None:
        for part in _parts(node):
            _check_numbers(path, part)


def _check_references(content) -> None:
    """Refuse more than `MAX_CHAINED` references that could multiply each other."""
    names = [name for text in _texts(content) for name in re.findall(r"\$\{([^${}]*)\}?", text)]
    if sum(not _is_plain(content, name) for name in names) > MAX_CHAINED:
        raise ValueError(f"more than {MAX_CHAINED} references to values that hold references")


def _is_plain(content, name: str) -> bool:
    """Tell whether a name such as `a.b.0` leads to one value that holds no reference."""
    for part in name.split("."):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False
    return not isinstance(content, dict | list) and "${" not in str(content)


def _count(node: yaml.Node | None, known: dict[int, float]) -> float:
    """Values in a part of a file, repeated ones counted each time; infinite if it holds itself."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = float("inf")  # stays so while this part is being counted
        known[id(node)] = 1 + sum(_count(part, known) for part in _parts(node))
    return known[id(node)]


def _parts(node: yaml.CollectionNode) -> list[yaml.Node]:
    """The values of a list; keys and values of a mapping."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value


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
