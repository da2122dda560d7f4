"""Sources of the values of options.

The first source that has a value wins: command line, options file, earlier run, default.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

from core.command_line.options import str_to_bool
from core.recording.records import RECORD, DamagedRecord
from core.refusals import is_refusal
from core.yaml_files import read_yaml

_NOT_GIVEN = object()  # tells an option that was left out from one that was given its default
# What `add_run_control` adds: options of one call, which do not change the results of a run.
RUN_CONTROL = ("options_file", "dry_run")


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
    Ends the process, as argparse does, where a value is wrong or a required option is missing.

    Raises:
        FileNotFoundError, ValueError: see `_from_file`.
    """
    # argparse sets a default only where the namespace has no value yet, so given values stand out.
    nothing = argparse.Namespace(**{action.dest: _NOT_GIVEN for action in parser._actions})
    with _not_required(parser) as required:  # the file may hold them
        parsed = vars(parser.parse_args(argv, nothing))
    given = {name: value for name, value in parsed.items() if value is not _NOT_GIVEN}
    if given.get("options_file") is not None:
        given = _from_file(parser, given["options_file"]) | given
    if missing := [action.option_strings[0] for action in required if action.dest not in given]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return given


@contextmanager
def _not_required(parser) -> Iterator[list[argparse.Action]]:
    """Yield the options that the parser requires; inside the block it does not."""
    required = [action for action in parser._actions if action.required and action.option_strings]
    for action in required:
        action.required = False
    try:
        yield required
    finally:
        for action in required:
            action.required = True


def parse_all(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> argparse.Namespace:
    """All options of a script that continues no earlier run; see `parse_given`."""
    return with_defaults(parser, parse_given(parser, argv))


def _actions(parser) -> dict[str, argparse.Action]:
    """The parser's options by destination; of a switch the one that takes a value, not `--no-`."""
    # `--no-x` follows `--x` and has its destination: in reverse order, `--x` overwrites it.
    return {a.dest: a for a in reversed(parser._actions) if a.option_strings}


def _from_file(parser, path: Path) -> dict:
    """Options of a YAML file by destination, converted and checked as on the command line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `parse_mapping`.
    """
    return parse_mapping(parser, OmegaConf.to_container(read_yaml(path), resolve=True), path)


def parse_mapping(parser: argparse.ArgumentParser, content, path: Path | str) -> dict:
    """Options by destination, converted and checked as on the command line.

    Args:
        content: options by name, as a YAML file holds them.
        path: of that file, for messages.
    Raises:
        ValueError: no mapping, an unknown option or a wrong value; names file and option.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected options by name, one `name: value` a line")
    actions = _actions(parser)
    unknown = sorted(map(str, content.keys() - (actions.keys() - {"help", "options_file"})))
    if unknown:
        raise ValueError(f"{path}: no option is named {unknown[0]}; --help lists all")
    found = {}
    for name, value in content.items():
        if value is not None:  # `name:` without a value keeps the default
            found[name] = _checked(parser, actions[name], value, path)
    return found


def _checked(parser, action, value, source):
    """`_as_on_command_line`; raises ValueError, which names the file `source` and the option."""
    try:
        return _as_on_command_line(parser, action, value)
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        message = getattr(error, "message", str(error))  # without argparse's "argument --x"
        raise ValueError(f"{source}: {action.dest}: {message}") from error


def _as_on_command_line(parser, action, value):
    """Convert a value of a YAML file as `--name VALUE` on the command line is converted.

    The value goes through argparse as text, so a type refuses the same values in both places.
    """
    if action.nargs == 0:  # a flag such as --dry_run
        return str_to_bool(str(value))
    takes_list = action.nargs in ("+", "*") or isinstance(action.nargs, int)
    # argparse's own conversion, which has no public name.
    values = [parser._get_value(action, word) for word in _words(action, value, takes_list)]
    for converted in values:
        parser._check_value(action, converted)
    return values if takes_list else values[0]


def _words(action, value, takes_list: bool) -> list[str]:
    """The words that stand for a value of a YAML file behind `--name` on the command line.

    Raises:
        argparse.ArgumentError: the value has another shape, or another number of parts.
    """
    if isinstance(value, dict):
        raise argparse.ArgumentError(None, "expected a value, found further names")
    if isinstance(value, list) != takes_list:
        expected = "a list" if takes_list else "one value"
        raise argparse.ArgumentError(None, f"{value!r}: expected {expected}")
    parts = value if takes_list else [value]
    if any(part is None or isinstance(part, (dict, list)) for part in parts):
        raise argparse.ArgumentError(None, f"{value!r}: expected texts, numbers or booleans")
    if isinstance(action.nargs, int) and len(parts) != action.nargs:
        raise argparse.ArgumentError(None, f"{value!r}: expected {action.nargs} values")
    if action.nargs == "+" and not parts:
        raise argparse.ArgumentError(None, "expected at least one value")
    return [str(part) for part in parts]


def with_defaults(
    parser: argparse.ArgumentParser,
    given: Mapping,
    earlier: Mapping | None = None,
    source: Path | None = None,
) -> argparse.Namespace:
    """All options of a parser: those given, else those of an earlier run, else the defaults.

    Args:
        given: options by destination, as `parse_given` returns them.
        earlier: options by destination as the record of a run holds them (see `plain`). They are
            converted and checked as on the command line: "out" becomes `Path("out")`. Those of an
            older version that the parser does not know stay as they are.
        source: file of the record, for messages.
    Raises:
        ValueError: a value of the earlier run that the command line would refuse.
    """
    defaults = {
        action.dest: action.default
        for action in parser._actions
        if action.default is not argparse.SUPPRESS
    }
    actions = _actions(parser)
    saved = dict(earlier or {})
    for name in saved.keys() & actions.keys():
        # The default of an option that was not given, such as None or an empty list, may be a value
        # that nobody can give.
        if saved[name] != plain(actions[name].default):
            saved[name] = _checked(parser, actions[name], saved[name], source)
    # `None` in a later layer wins too: an option that was set to None stays None.
    layers = OmegaConf.merge(*map(OmegaConf.create, (defaults, saved, dict(given))))
    # not resolved: `${...}` in an option is a text that the user typed
    return argparse.Namespace(**OmegaConf.to_container(layers, resolve=False))


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


@contextmanager
def naming_record(folder: Path | None) -> Iterator[None]:
    """Name the record of a run in errors of options that were taken from it, perhaps edited.

    The block reads and checks what the options name. Its refusals become ValueErrors, unless they
    name this record or a damaged one.

    Args:
        folder: of the run; None where no run goes on.
    """
    try:
        yield
    except DamagedRecord:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        if folder is None or not is_refusal(error) or str(folder / RECORD) in str(error):
            raise
        raise ValueError(f"{error} (with the options in {folder / RECORD})") from error


def refuse_changes(given: Mapping, saved: Mapping, free: set[str], option: str) -> None:
    """Check that the user changes no option of the run that is continued.

    Args:
        given: what the user gave, as `parse_given` returns it.
        saved, free: as in `changed_options`.
        option: the option that names the run, for the message.
    Raises:
        ValueError: an option has another value; names it.
    """
    # Options that were left out take the earlier values, so they cannot differ.
    named = {name: saved[name] for name in saved if name in given}
    changed = changed_options(given, named, free)
    if changed:
        before = saved[changed[0].lstrip("-")]
        raise ValueError(
            f"{changed[0]} differs from the run that {option} names ({before}); "
            "leave it out, or start a new run"
        )


def refuse_edited(
    witness: Path, now: Mapping, started: Mapping, free: set[str], new_run: str
) -> None:
    """Check that nobody edited the record from which a run that goes on takes its options.

    Args:
        witness: another file of the run, beside the record.
        now, started: options in use and those that `witness` holds, by destination.
        free: as in `changed_options`.
        new_run: end of the message, on how to start one.
    Raises:
        ValueError: an option has another value; names it.
    """
    if changed := changed_options(now, started, free):
        before = started[changed[0].lstrip("-")]
        raise ValueError(
            f"{witness.with_name(RECORD)}: edited, as {witness} has another {changed[0]} "
            f"({before}). Put it back, or {new_run}"
        )


def dry_run_text(options: Mapping, plan: str, hidden: Sequence[str] = ()) -> str:
    """The text that `--dry_run` prints: an options file, then what would be done.

    Args:
        options: values by destination.
        hidden: destinations that an options file must not hold: secrets, and what is no option.
    """
    shown = format_options(options, hidden=(*RUN_CONTROL, *hidden))
    return f"{shown}\n\n{plan}\ndry run: nothing was written"


def format_options(options: Mapping, hidden: Sequence[str] = ()) -> str:
    """Options as an options file holds them, a `name: value` a line; hidden ones are left out."""
    # An empty list is a default, which no file can give but by leaving the value out.
    shown = {
        name: None if value in ((), []) else plain(value)
        for name, value in options.items()
        if name not in hidden
    }
    return OmegaConf.to_yaml(OmegaConf.create(shown)).rstrip()
