"""Command-line options: types that check values, and groups declared as classes.

A group of options is a frozen dataclass that stands beside the code it configures:

    @dataclass(frozen=True)
    class NoiseOptions:
        level: float = option(0.1, non_negative_float, "FLOAT", "deviation; 1 is white")

        def check(self):
            if self.level > 1:
                raise OptionError("level", "expected at most 1")

A script adds the group to its parser with `add_options`. After parsing, `read_options` returns an
object of the class, checked. Functions take this object, never the parser's namespace. A script
with many groups declares them as `core.command_line.groups` says.
"""

import argparse
import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

Options = TypeVar("Options")
# Numbers as `float` reads them, and pairs of a whole number and another
NEGATIVE = re.compile(r"-((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|\d+=\d+)$", re.IGNORECASE)
MARKS = ("secret", "free_on_resume")  # of options, for scripts; argparse does not know them
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


def folder_name(text: str) -> str:
    """A name for one folder, not a path and not hidden."""
    if not text or text != Path(text).name or text.startswith((".", "-")) or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a folder; a path belongs into the option for the folder above"
        )
    return text


def _number(kind: type, text: str):
    """The text as an int or a float; raises ArgumentTypeError where it is none."""
    try:
        return kind(text)
    except ValueError:
        name = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {name}") from None


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    value = _number(int, text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def non_negative_int(text: str) -> int:
    """A whole number of at least 0."""
    value = _number(int, text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def finite_float(text: str) -> float:
    """A finite number."""
    value = _number(float, text)
    if not abs(value) < float("inf"):  # false for nan as well, which float() accepts
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def positive_float(text: str) -> float:
    """A finite number above 0."""
    value = _number(float, text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def non_negative_float(text: str) -> float:
    """A finite number of at least 0."""
    value = _number(float, text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def at_least_one(text: str) -> float:
    """A finite number of at least 1."""
    value = _number(float, text)
    if not 1 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is below 1, or not finite")
    return value


def fraction(text: str) -> float:
    """A number in [0, 1]."""
    value = _number(float, text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside 0..1")
    return value


# Groups


class OptionError(ValueError):
    """A value that an options class refuses in its `check`.

    A class knows its fields, not how a script names them: `read_options` and `option_names` put the
    script's option in front of the message. Functions raise it for an argument likewise.

    Args:
        field: name of the field with the refused value.
        message: what was found, what was expected, what to do. Other fields that it names stand in
            backquotes, and become options too.
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
            without a value, which may stand right before a positional argument. `secret=True` marks
            a value that is never printed, logged or stored, and `free_on_resume=True` one that a
            run that goes on may change; `core.command_line.groups` finds both.
    """
    # Kept with the field; dataclasses hand metadata on without reading it.
    argument = {"kind": kind, "metavar": metavar, "help": help, **argument}
    return dataclasses.field(default=default, metadata=argument)


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help with defaults as people type them; None and () say nothing that the help does not."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default in ((), []):
            return action.help
        text = super()._get_help_string(action)
        if isinstance(action.default, (tuple, list)):
            words = " ".join(map(str, action.default))
            # Of a percent sign argparse would make a format.
            text = text.replace("%(default)s", words.replace("%", "%%"))
        return text


class OneLineParser(argparse.ArgumentParser):
    """A parser that refuses a command line in one line; the usage of 40 options would hide it.

    Words such as -1e3, -5. and -1=255 are values, as -1 is; argparse itself takes them for unknown
    options.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = NEGATIVE  # argparse's own pattern, which has no public name

    def error(self, message: str) -> NoReturn:
        """End the process with exit code 2, the code of all programs for bad input."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def new_parser(doc: str, **arguments) -> OneLineParser:
    """A parser whose help shows defaults and begins with the first paragraph of `doc`.

    Args:
        doc: the script's `__doc__`.
        arguments: further arguments of `argparse.ArgumentParser`.
    """
    # Without line breaks: argparse wraps the text to the terminal's width.
    description = " ".join(doc.split("\n\n")[0].split())
    return OneLineParser(description=description, formatter_class=Formatter, **arguments)


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
        argument = {key: value for key, value in field.metadata.items() if key not in MARKS}
        _add_option(group, name, default, **argument)


def dashed(options: type | Any, **names: str) -> dict[str, str]:
    """The fields of an options class as names with dashes, for `flags`: `image_size: image-size`.

    Args:
        names: other names of some fields, by field.
    """
    fields = [field.name for field in dataclasses.fields(options)]
    return {name: names.get(name, name.replace("_", "-")) for name in fields}


def _add_option(group, name, default, kind, metavar, help, aliases=(), **argument):
    if kind is bool:
        # `const` is the value of `--name` alone; `nargs="?"` allows one after it.
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
    # argparse turns dashes into underscores where it stores a value.
    values = {field: getattr(args, name.replace("-", "_")) for field, name in names.items()}
    if isinstance(options, type):
        result = options(**values)
    else:
        result = dataclasses.replace(options, **values)
    with option_names(names):
        getattr(result, "check", lambda: None)()  # most classes need none
    return result


@contextmanager
def option_names(flags: Flags | None = None) -> Iterator[None]:
    """Raise an OptionError of the block as ValueError under the script's name for the field.

    Args:
        flags: the script's options by field, without dashes; the field's own name where missing.
    """
    try:
        yield
    except OptionError as error:
        text = re.sub(r"`(\w+)`", lambda field: _option(field[1], flags), error.message)
        raise ValueError(f"{_option(error.field, flags)}: {text}") from error


def _option(field: str, flags: Flags | None) -> str:
    """The option of a field, with dashes."""
    return f"--{(flags or {}).get(field, field)}"
