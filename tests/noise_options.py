"""A group of options that tests read, and the parser of a script that has it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.command_line.option_sources import (
    add_run_control,
)
from core.command_line.options import (
    OptionError,
    add_options,
    new_parser,
    non_negative_float,
    option,
    positive_int,
    read_options,
)


@dataclass(frozen=True)
class NoiseOptions:
    level: float = option(0.1, non_negative_float, "FLOAT", "deviation")
    kind: str = option("normal", help="distribution", choices=("normal", "uniform"))
    clip: bool = option(True, bool, help="keep grey levels in [0, 1]")
    size: tuple = option((64, 64), positive_int, "INT", "height and width", nargs=2)
    output: Path | None = option(None, Path, "DIR", "folder", aliases=("--out-dir",))

    def check(self):
        if self.level > 1:
            raise OptionError("level", f"{self.level} is above 1")


@dataclass(frozen=True)
class PlainOptions:
    """A group without a `check`."""

    steps: int = option(3, positive_int)


def parser_of(options=NoiseOptions, flags=None):
    parser = new_parser("Add noise.\n\n    python noise.py")
    add_options(parser, options, "noise", flags=flags)
    add_run_control(parser)
    return parser


def read(*words, options=NoiseOptions, flags=None):
    return read_options(options, parser_of(options, flags).parse_args([*map(str, words)]), flags)


def error_of(capsys, function, *arguments):
    """The last line on stderr of a call that argparse ends."""
    with pytest.raises(SystemExit) as stop:
        function(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]
