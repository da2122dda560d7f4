"""Command-line options: types that check values, groups declared as classes, sources of defaults.

A group of options is a frozen dataclass that stands beside the code it configures:

    @dataclass(frozen=True)
    class NoiseOptions:
        level: float = option(0.1, non_negative_float, "FLOAT", "deviation; 1 is white")

        def check(self):
            if self.level > 1:
                raise OptionError("level", "expected at most 1")

A script adds the group to its parser with `add_options`. After parsing, `read_options` returns an
object of the class, checked. Functions take this object, never the parser's namespace.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from core.yaml_files import read_yaml

Options = TypeVar("Options")
Flags = Mapping[str, str]  # field of an options class -> the script's option, without dashes

# Types: functions that turn the text of an option into its value, or say what is wrong with it.
# argparse turns ValueError and ArgumentTypeError into a message that names the option.


def str_to_bool(text: str) -> bool:
    """True for `true`, `yes`, `on`, `1`; False for their opposites; capitals make no difference.

    `type=bool` would read every text but the empty one as true, "False" included.
    """
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
    """A value that an options class refuses in its `check`.

    A class knows its fields, not how a script names them: `read_options` puts the script's option
    in front of the message.

    Args:
        field: name of the field with the refused value.
        message: what was found, what was expected, what to do.
    """

    def __init__(self, field: str, message: str):
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


def option(default, kind=None, metavar: str | None = None, help: str = "", **argument) -> Any:
    """A field of an options class, with what the command line needs to know of it.

    Args:
        default: value of the field where the option is not given.
        kind: function from text to value, for instance one of the types above. `bool` makes a
            switch: `--name`, `--name BOOL` and `--no-name`.
        metavar: name of the value in the help.
        help: unit and effect. The formatter of `new_parser` adds the default.
        argument: further arguments of `argparse.add_argument`, such as `choices` or `nargs`, and
            `aliases`, a tuple of other spellings (with dashes). `action="store_true"` makes a flag
            without a value, which may stand right before a positional argument.
    """
    argument = {"kind": kind, "metavar": metavar, "help": help, **argument}
    return dataclasses.field(default=default, metadata=argument)


def new_parser(doc: str, **arguments) -> argparse.ArgumentParser:
    """A parser whose help shows defaults and begins with the first paragraph of `doc`.

    Args:
        doc: the script's `__doc__`.
        arguments: further arguments of `argparse.ArgumentParser`.
    """
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
        options: the class, or an object of it whose values become this script's defaults.
        title, description: head of the group in the help.
        flags: the script's option for each field that it offers. Fields that are left out become
            no option and keep their default. Without `flags`, every field is an option of its name.
    """
    group = parser.add_argument_group(title, description)
    for field in dataclasses.fields(options):
        if flags is not None and field.name not in flags:
            continue
        name = flags[field.name] if flags else field.name
        default = field.default if isinstance(options, type) else getattr(options, field.name)
        _add_option(group, name, default, **field.metadata)


def dashed(options: type | Any, **names: str) -> dict[str, str]:
    """The fields of an options class as names with dashes, for `flags`: `image_size: image-size`.

    Args:
        names: other names of some fields, by field.
    """
    fields = [field.name for field in dataclasses.fields(options)]
    return {name: names.get(name, name.replace("_", "-")) for name in fields}


def add_bool(group, name: str, default: bool, help: str) -> None:
    """Add `--name`, `--name BOOL` and `--no-name` to an argparse parser or group."""
    _add_option(group, name.lstrip("-"), default, bool, "BOOL", help)


def _add_option(group, name, default, kind, metavar, help, aliases=(), **argument):
    if kind is bool:
        argument |= {"type": str_to_bool, "nargs": "?", "const": True, "metavar": "BOOL"}
    elif "action" not in argument:  # an action such as `store_true` has no value to convert or name
        argument |= {"type": kind, "metavar": metavar} if kind else {"metavar": metavar}
    names = [f"--{name}", *aliases]
    group.add_argument(*names, dest=name.replace("-", "_"), default=default, help=help, **argument)
    if kind is bool:  # the opposite shares the destination, so it must not bring a second default
        opposite = {"action": "store_false", "default": argparse.SUPPRESS}
        group.add_argument(
            f"--no-{name}",
            dest=name.replace("-", "_"),
            help=f"same as --{name} false",
            **opposite,
        )


def read_options(
    options: type[Options] | Options, args: argparse.Namespace, flags: Flags | None = None
) -> Options:
    """An object of the class with the values of the command line, checked.

    Args:
        options, flags: as they were given to `add_options`.
        args: the parsed command line.
    Raises:
        ValueError: the `check` of the class refuses a value. The message begins with the option
            under the script's name for it.
    """
    names = flags or {field.name: field.name for field in dataclasses.fields(options)}
    values = {field: getattr(args, name.replace("-", "_")) for field, name in names.items()}
    if isinstance(options, type):
        result = options(**values)
    else:
        result = dataclasses.replace(options, **values)
    try:
        getattr(result, "check", lambda: None)()
    except OptionError as error:
        raise ValueError(f"--{names.get(error.field, error.field)}: {error.message}") from error
    return result


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """End the process with usage and exit code 2 where the block raises ValueError."""
    try:
        yield
    except ValueError as error:
        parser.error(str(error))


# Sources of values. The first that has one wins: command line, options file, earlier run, default.

_NOT_GIVEN = object()  # tells an option that was left out from one that was given its default


RUN_CONTROL = ("options_file", "dry_run")  # what `add_run_control` adds; no options of a run


def add_run_control(parser: argparse.ArgumentParser) -> None:
    """Add `--options_file`, which `parse_given` reads, and `--dry_run`, which the script obeys."""
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
    """The options that the user gave, by destination: those of the command line and of its file.

    Where `--options_file` names an option that the command line names too, the command line wins.
    Options that argparse itself requires must stand on the command line. Ends the process, as
    argparse does, where a value or the file is wrong.
    """
    # argparse sets a default only where the namespace has no value yet, so given values stand out.
    nothing = argparse.Namespace(**{action.dest: _NOT_GIVEN for action in parser._actions})
    parsed = vars(parser.parse_args(argv, nothing))
    given = {name: value for name, value in parsed.items() if value is not _NOT_GIVEN}
    if given.get("options_file") is None:
        return given
    try:
        return _from_file(parser, given["options_file"]) | given
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _actions(parser) -> dict[str, argparse.Action]:
    """The parser's options by destination; of a switch the one that takes a value, not `--no-`."""
    return {a.dest: a for a in reversed(parser._actions) if a.option_strings}


def _from_file(parser, path: Path) -> dict:
    """Options of a YAML file by destination, converted and checked as on the command line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no YAML mapping, an unknown option or a wrong value; names file and option.
    """
    content = OmegaConf.to_container(read_yaml(path), resolve=True)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected options by name, one `name: value` a line")
    actions = _actions(parser)
    unknown = sorted(map(str, content.keys() - (actions.keys() - {"help", "options_file"})))
    if unknown:
        raise ValueError(f"{path}: no option is named {unknown[0]}; --help lists all")
    found = {}
    for name, value in content.items():
        if value is not None:  # `name:` without a value keeps the default
            try:
                found[name] = _as_on_command_line(parser, actions[name], value)
            except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
                message = getattr(error, "message", str(error))  # without argparse's "argument --x"
                raise ValueError(f"{path}: {name}: {message}") from error
    return found


def _as_on_command_line(parser, action, value):
    """What `--name VALUE` on the command line gives for a value of a YAML file.

    The value goes through argparse as text, so a type refuses the same values in both places.
    """
    if action.nargs == 0:  # a flag such as --dry_run
        return str_to_bool(str(value))
    takes_list = action.nargs in ("+", "*") or isinstance(action.nargs, int)
    if isinstance(value, list) != takes_list:
        expected = "a list" if takes_list else "one value"
        raise argparse.ArgumentError(None, f"{value!r}: expected {expected}")
    words = [str(word) for word in (value if takes_list else [value])]
    if isinstance(action.nargs, int) and len(words) != action.nargs:
        raise argparse.ArgumentError(None, f"{value!r}: expected {action.nargs} values")
    if action.nargs == "+" and not words:
        raise argparse.ArgumentError(None, "expected at least one value")
    values = [parser._get_value(action, word) for word in words]
    for converted in values:
        parser._check_value(action, converted)
    return values if takes_list else values[0]


def with_defaults(
    parser: argparse.ArgumentParser, given: Mapping, earlier: Mapping | None = None
) -> argparse.Namespace:
    """All options of a parser: those given, else those of an earlier run, else the defaults.

    Args:
        given: options by destination, as `parse_given` returns them.
        earlier: options by destination as the record of a run holds them (see `plain`). Texts
            become what the option's type makes of them: "out" becomes `Path("out")`.
    """
    defaults = {
        action.dest: action.default
        for action in parser._actions
        if action.default is not argparse.SUPPRESS
    }
    types = {name: action.type for name, action in _actions(parser).items()}

    def restored(name, value):
        kind: Callable | None = types.get(name)
        if isinstance(value, list):
            return [restored(name, element) for element in value]
        return kind(value) if kind and isinstance(value, str) else value

    saved = {name: restored(name, value) for name, value in (earlier or {}).items()}
    return argparse.Namespace(**{**defaults, **saved, **given})


def plain(value):
    """The value as it comes back from JSON: tuples as lists, paths as texts."""
    return json.loads(json.dumps(value, default=str))


def changed_options(options: Mapping, saved: Mapping, free: set[str]) -> list[str]:
    """The options, with dashes, whose values differ from those of an earlier run.

    Args:
        options: values of now by destination.
        saved: values as the record of the earlier run holds them (see `plain`).
        free: destinations that may differ.
    """
    before = {name: value for name, value in saved.items() if name not in free}
    now = {name: plain(options.get(name)) for name in before}
    return [f"--{name}" for name in before if before[name] != now[name]]


def refuse_changes(
    parser: argparse.ArgumentParser, given: Mapping, saved: Mapping, free: set[str], option: str
) -> None:
    """End the process where the user changes an option of the run that is continued.

    Args:
        given: what the user gave, as `parse_given` returns it.
        saved, free: as in `changed_options`.
        option: the option that names the run, for the message.
    """
    named = {name: saved[name] for name in saved if name in given}
    changed = changed_options(given, named, free)
    if changed:
        before = saved[changed[0].lstrip("-")]
        parser.error(
            f"{changed[0]} differs from the run that {option} names ({before}); "
            "leave it out, or start a new run"
        )


def format_options(options: Mapping, hidden: Sequence[str] = ()) -> str:
    """Options as an options file holds them, a `name: value` a line; hidden ones are left out."""
    shown = {name: plain(value) for name, value in options.items() if name not in hidden}
    return OmegaConf.to_yaml(OmegaConf.create(shown)).rstrip()
