"""Command-line options: types that check values, groups declared as classes, and where defaults come from.

A group of options is a frozen dataclass that stands beside the code it configures:

    @dataclass(frozen=True)
    class NoiseOptions:
        level: float = option(0.1, non_negative_float, "FLOAT", "deviation of the noise, grey levels in [0, 1]")

        def check(self):
            if self.level > 1: raise OptionError("level", "expected at most 1")

A script adds the group to its parser with `add_options` and gets it back, filled and checked, with
`read_options`. Functions take the dataclass, never the parser's namespace.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from core.yaml_files import read_yaml

Options = TypeVar("Options")
Flags = Mapping[
    str, str
]  # field of an options class -> option of a script, where it has another name

# Types: each turns text into a value, or says what is wrong with it


def str_to_bool(text: str) -> bool:
    """`true`, `yes`, `on`, `1` and their opposites, in any case; unlike `type=bool`, "False" is false."""
    value = text.strip().lower()
    if value in ("true", "t", "yes", "y", "on", "1"):
        return True
    if value in ("false", "f", "no", "n", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def non_negative_int(text: str) -> int:
    """A whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def positive_float(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def non_negative_float(text: str) -> float:
    """A finite number of at least 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def fraction(text: str) -> float:
    """A number in [0, 1]."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside 0..1")
    return value


# Groups


class OptionError(ValueError):
    """A value that does not fit; `read_options` puts the option's name in front of the message.

    Args:
        field: of the options class.
        message: what was found or expected, and what to do.
    """

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def option(default, kind=None, metavar: str | None = None, help: str = "", **argument) -> Any:
    """A field of an options class.

    Args:
        default: value when the option is not given.
        kind: function from text to value, one of the types above for instance; `bool` makes a switch
            that takes `--name`, `--name BOOL` and `--no-name`.
        metavar: the value's name in the help.
        help: unit and effect; the default is added to it.
        argument: further arguments of `argparse.add_argument`, such as `choices`, `nargs` or
            `aliases`, a tuple of other spellings.
    """
    argument = {"kind": kind, "metavar": metavar, "help": help, **argument}
    return dataclasses.field(default=default, metadata=argument)


def new_parser(doc: str, **arguments) -> argparse.ArgumentParser:
    """A parser whose help begins with the first paragraph of a script's docstring and shows defaults."""
    description = " ".join(doc.split("\n\n")[0].split())
    formatter = argparse.ArgumentDefaultsHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=formatter, **arguments)


def add_options(
    parser: argparse.ArgumentParser,
    options: type | Any,
    title: str,
    description: str | None = None,
    flags: Flags | None = None,
) -> None:
    """Add the options of a class to a parser, as a group.

    Args:
        options: the class, or an object of it whose values are this script's defaults.
        title, description: of the group in the help.
        flags: the script's names for fields, without dashes; fields that it leaves out are no
            options of this script. Every field under its own name when not given.
    """
    group = parser.add_argument_group(title, description)
    for field in dataclasses.fields(options):
        if flags is not None and field.name not in flags:
            continue
        name = flags[field.name] if flags else field.name
        default = field.default if isinstance(options, type) else getattr(options, field.name)
        _add_option(group, name, default, **field.metadata)


def add_bool(group, name: str, default: bool, help: str) -> None:
    """Add `--name`, `--name BOOL` and `--no-name` to an argparse parser or group."""
    _add_option(group, name.lstrip("-"), default, bool, "BOOL", help)


def _add_option(group, name, default, kind, metavar, help, aliases=(), **argument):
    if kind is bool:
        argument |= {"type": str_to_bool, "nargs": "?", "const": True, "metavar": "BOOL"}
    else:
        argument |= {"type": kind, "metavar": metavar} if kind else {"metavar": metavar}
    names = [f"--{name}", *aliases]
    group.add_argument(*names, dest=name.replace("-", "_"), default=default, help=help, **argument)
    if kind is bool:
        opposite = {
            "dest": name.replace("-", "_"),
            "action": "store_false",
            "default": argparse.SUPPRESS,
        }
        group.add_argument(f"--no-{name}", **opposite, help=f"same as --{name} false")


def read_options(
    options: type[Options] | Options, args: argparse.Namespace, flags: Flags | None = None
) -> Options:
    """The options of a class as a script's command line gives them, checked.

    Args:
        options, flags: as in `add_options`.
        args: the parsed command line.
    Raises:
        ValueError: the class's `check` refuses the values; the message begins with the option.
    """
    names = flags or {field.name: field.name for field in dataclasses.fields(options)}
    values = {field: getattr(args, name.replace("-", "_")) for field, name in names.items()}
    if isinstance(options, type):
        filled = options(**values)
    else:
        filled = dataclasses.replace(options, **values)
    try:
        getattr(filled, "check", lambda: None)()
    except OptionError as error:
        raise ValueError(f"--{names.get(error.field, error.field)}: {error.message}") from error
    return filled


# Where values come from: the command line, then a file or an earlier run, then the defaults

_NOT_GIVEN = object()


def add_run_control(parser: argparse.ArgumentParser) -> None:
    """Add `--options_file` and `--dry_run`, which `parse_given` and the script read."""
    group = parser.add_argument_group("control")
    group.add_argument(
        "--options_file",
        type=Path,
        metavar="YAML",
        help="options by name (without dashes); what the command line gives wins",
    )
    group.add_argument(
        "--dry_run",
        action="store_true",
        help="print the options and what would be done, then stop; nothing is written",
    )


def parse_given(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> dict:
    """The options that the command line names, by destination; what it leaves out is not there.

    `--options_file`, where the parser has it, adds what the file names and the command line does not.
    """
    empty = argparse.Namespace(**{action.dest: _NOT_GIVEN for action in parser._actions})
    parsed = vars(parser.parse_args(argv, empty))
    given = {name: value for name, value in parsed.items() if value is not _NOT_GIVEN}
    if given.get("options_file") is None:
        return given
    try:
        return _from_file(parser, given["options_file"]) | given
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _from_file(parser, path: Path) -> dict:
    """Options of a YAML file, converted and checked as on the command line."""
    content = OmegaConf.to_container(read_yaml(path), resolve=True)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected options by name, one `name: value` a line")
    actions = {action.dest: action for action in parser._actions if action.option_strings}
    unknown = sorted(map(str, content.keys() - (actions.keys() - {"help", "options_file"})))
    if unknown:
        raise ValueError(f"{path}: no option is named {unknown[0]}; --help lists all")
    found = {}
    for name, value in content.items():
        if value is not None:
            try:
                found[name] = _as_on_command_line(parser, actions[name], value)
            except argparse.ArgumentError as error:
                raise ValueError(f"{path}: {name}: {error.message}") from error
    return found


def _as_on_command_line(parser, action, value):
    """What `--name VALUE` would give for a value of a YAML file."""
    if action.nargs == 0:  # a flag such as --dry_run
        return str_to_bool(str(value))
    several = isinstance(value, list)
    if several != (action.nargs in ("+", "*") or isinstance(action.nargs, int)):
        raise argparse.ArgumentError(
            None, f"{value!r}: expected {'a list' if not several else 'one value'}"
        )
    words = [str(word) for word in (value if several else [value])]
    if isinstance(action.nargs, int) and len(words) != action.nargs:
        raise argparse.ArgumentError(None, f"{value!r}: expected {action.nargs} values")
    values = [parser._get_value(action, word) for word in words]
    for one in values:
        parser._check_value(action, one)
    return values if several else values[0]


def with_defaults(
    parser: argparse.ArgumentParser, given: Mapping, earlier: Mapping | None = None
) -> argparse.Namespace:
    """All options of a parser: those given, then those of an earlier run, then the defaults.

    Args:
        earlier: options as a run's record holds them (`plain`); texts are converted to their types.
    """
    defaults = {
        action.dest: action.default
        for action in parser._actions
        if action.default is not argparse.SUPPRESS
    }
    types = {action.dest: action.type for action in parser._actions if action.option_strings}
    saved = {}
    for name, value in (earlier or {}).items():
        kind: Callable = types.get(name) or (lambda value: value)
        if isinstance(value, list):
            saved[name] = [kind(one) if isinstance(one, str) else one for one in value]
        else:
            saved[name] = kind(value) if isinstance(value, str) else value
    return argparse.Namespace(**{**defaults, **saved, **given})


def plain(value):
    """An option as JSON stores it."""
    return json.loads(json.dumps(value, default=str))


def changed_options(options: Mapping, saved: Mapping, free: set[str]) -> list[str]:
    """Options that differ from those of an earlier run, other than the `free` ones."""
    before = {name: value for name, value in saved.items() if name not in free}
    now = {name: plain(options.get(name)) for name in before}
    return [f"--{name}" for name in before if before[name] != now[name]]


def refuse_changes(
    parser: argparse.ArgumentParser, given: Mapping, saved: Mapping, free: set[str], option: str
) -> None:
    """End with an error where the command line changes an option of the run that `option` names."""
    named = {name: saved[name] for name in saved if name in given}
    changed = changed_options(given, named, free)
    if changed:
        before = saved[changed[0].lstrip("-")]
        parser.error(
            f"{changed[0]} differs from the run that {option} names ({before}); "
            "leave it out, or start a new run"
        )
