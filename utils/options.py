"""Option types that the scripts share: they turn text into a value or name what is wrong with it."""

import argparse
import json

LIGHTNING_PRECISIONS = {"16": "16-mixed", "32": "32-true", "bf16": "bf16-mixed"}  # of --precision, by Lightning's names


def str_to_bool(text: str) -> bool:
    """`true`, `yes`, `on`, `1` and their opposites, in any case; unlike `type=bool`, "False" is false."""
    value = text.strip().lower()
    if value in ("true", "t", "yes", "y", "on", "1"):
        return True
    if value in ("false", "f", "no", "n", "off", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def add_bool(group, name: str, default: bool, help: str) -> None:
    """Add `--name`, `--name BOOL` and `--no-name` to an argparse parser or group."""
    destination = name.lstrip("-")
    group.add_argument(name, type=str_to_bool, nargs="?", const=True, default=default, metavar="BOOL", help=help)
    group.add_argument(f"--no-{destination}", dest=destination, action="store_false", default=argparse.SUPPRESS, help=f"same as {name} false")


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


def plain(value):
    """An option as JSON stores it."""
    return json.loads(json.dumps(value, default=str))


def changed_options(args: argparse.Namespace, saved: dict, free: set[str]) -> list[str]:
    """Options that differ from those of an earlier run, other than the `free` ones."""
    return [f"--{key}" for key, value in saved.items() if key not in free and plain(vars(args).get(key)) != value]


def parse_like(parser: argparse.ArgumentParser, argv, saved: dict, free: set[str], option: str) -> argparse.Namespace:
    """Options of the earlier run that `option` names; of those given anew only `free` ones may differ."""
    parser.set_defaults(**saved)
    args = parser.parse_args(argv)
    changed = changed_options(args, saved, free)
    if changed:
        before = saved[changed[0].lstrip("-")]
        parser.error(f"{changed[0]} differs from the run that {option} names ({before}); leave it out, or start a new run")
    return args
