"""Groups of options of one script, declared together.

A class holds one object for each group:

    @dataclass(frozen=True)
    class Settings:
        noise: NoiseOptions = group("noise")
        run: RunOptions = group("run", {"seed": "first_seed"})

    GROUPS = groups_of(Settings)

The script calls `add_groups(parser, GROUPS)`, parses, and `Settings(**read_groups(GROUPS, args))`.
A table of `Group` serves scripts that need no such class.
"""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from core.command_line.options import Flags, add_options, read_options


class Group(NamedTuple):
    """A group of options in the table of a script: arguments of `add_options`."""

    options: type | Any
    title: str
    flags: Flags | None = None


def group(title: str, flags: Flags | None = None, options: Any = None) -> Any:
    """A field of a class of groups, annotated with the class of its options.

    Args:
        title, flags: as in `add_options`.
        options: an object of the class whose values become the defaults.
    """
    return dataclasses.field(metadata={"options": options, "title": title, "flags": flags})


def groups_of(settings: type) -> dict[str, Group]:
    """The groups that a class declares, by field, in their order."""
    groups = {}
    for field in dataclasses.fields(settings):
        if "title" in field.metadata:  # others are no groups
            options, title, flags = (field.metadata[name] for name in Group._fields)
            groups[field.name] = Group(options or field.type, title, flags)
    return groups


def add_groups(parser: argparse.ArgumentParser, groups: Mapping[str, Group]) -> None:
    """Add several groups to a parser, in their order.

    Args:
        groups: by the names under which `read_groups` returns them.
    """
    for each in groups.values():
        add_options(parser, each.options, each.title, flags=each.flags)


def read_groups(groups: Mapping[str, Group], args: argparse.Namespace) -> dict[str, Any]:
    """One checked object for each group, by the names in `groups`; raises as `read_options`."""
    return {name: read_options(each.options, args, each.flags) for name, each in groups.items()}


def secret_names(groups: Mapping[str, Group]) -> list[str]:
    """Destinations of the options that are marked as secret."""
    return _marked(groups, "secret")


def free_names(groups: Mapping[str, Group]) -> list[str]:
    """Destinations of the options that are marked as free on resume."""
    return _marked(groups, "free_on_resume")


def _marked(groups: Mapping[str, Group], mark: str) -> list[str]:
    return [
        (each.flags or {}).get(field.name, field.name).replace("-", "_")
        for each in groups.values()
        for field in dataclasses.fields(each.options)
        # A field without a flag is no option of the script.
        if field.metadata.get(mark) and (each.flags is None or field.name in each.flags)
    ]
