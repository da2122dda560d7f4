"""Options: types, groups with the script's own names, switches."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.command_line.groups import Group, add_groups, free_names, read_groups, secret_names
from core.command_line.options import (
    OptionError,
    add_options,
    at_least_one,
    dashed,
    finite_float,
    folder_name,
    fraction,
    new_parser,
    non_negative_float,
    non_negative_int,
    option,
    option_names,
    positive_float,
    positive_int,
    read_options,
    str_to_bool,
)
from tests.noise_options import NoiseOptions, PlainOptions, error_of, parser_of, read

# Types


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (positive_int, {"1": 1, "07": 7}, ("0", "-1", "1.5", "x", "")),
        (non_negative_int, {"0": 0, "12": 12}, ("-1", "0.5")),
        (finite_float, {"-1e3": -1000.0, "0": 0.0}, ("inf", "-inf", "nan")),
        (positive_float, {"1e-3": 0.001, "2": 2.0}, ("0", "-1", "inf", "nan")),
        (non_negative_float, {"0": 0.0, "9.5": 9.5}, ("-0.1", "inf", "nan")),
        (
            folder_name,
            {"first": "first", "Rat 5 (ö)": "Rat 5 (ö)"},
            ("../x", "a/b", "/tmp", ".", "..", "", ".hidden", "-x", "a\nb"),
        ),
        (at_least_one, {"1": 1.0, "1.25": 1.25}, ("0.99", "inf", "nan")),
        (fraction, {"0": 0.0, "1": 1.0, "0.25": 0.25}, ("1.01", "-0.1", "nan")),
        (
            str_to_bool,
            {"True": True, "yes": True, "ON": True, "False": False, " no ": False, "0": False},
            ("2", "", "maybe"),
        ),
    ],
)
def test_types(kind, right, wrong):
    assert {text: kind(text) for text in right} == right
    for text in wrong:
        with pytest.raises((ValueError, argparse.ArgumentTypeError)):
            kind(text)


# Groups


def test_defaults_are_those_of_the_class():
    assert read() == NoiseOptions() == NoiseOptions(0.1, "normal", True, (64, 64), None)
    assert read(options=PlainOptions) == PlainOptions(3)


def test_values_have_their_types():
    words = ("--level", 0.5, "--kind", "uniform", "--size", 32, 48, "--out-dir", "here")
    assert read(*words) == NoiseOptions(0.5, "uniform", True, [32, 48], Path("here"))


@pytest.mark.parametrize("text", ["-1", "-0.5", "-.5", "-5.", "-1e3", "-1.5E+3", "-.5e-3"])
def test_negative_numbers_of_any_spelling_are_values(text):
    parser = new_parser("Cut.")
    parser.add_argument("--window", type=finite_float, nargs=2)
    assert parser.parse_args(["--window", text, "1e3"]).window == [float(text), 1000.0]


def test_an_objects_values_are_the_scripts_defaults():
    ours = NoiseOptions(level=0.7, clip=False)
    assert read(options=ours) == ours
    assert read("--kind", "uniform", options=ours) == NoiseOptions(0.7, "uniform", False)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), True),
        (("--clip",), True),
        (("--clip", "False"), False),
        (("--clip", "yes"), True),
        (("--no-clip",), False),
        (("--clip", "false", "--clip"), True),  # the last one counts
    ],
)
def test_a_switch_is_a_flag_or_takes_a_value(words, value):
    assert read(*words).clip is value


@dataclass(frozen=True)
class FlagOptions:
    skip_corrupt: bool = option(False, action="store_true", help="leave broken files out")


def test_a_flag_may_stand_before_a_positional_argument():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    add_options(parser, FlagOptions, "run", flags=dashed(FlagOptions))
    args = parser.parse_args(["--skip-corrupt", "images"])
    assert args.folder == "images" and read_options(FlagOptions, args).skip_corrupt
    assert not read_options(FlagOptions, parser.parse_args(["images"])).skip_corrupt


def test_names_with_dashes():
    assert dashed(NoiseOptions, kind="the-kind")["kind"] == "the-kind"
    assert dashed(FlagOptions) == {"skip_corrupt": "skip-corrupt"}


def test_flags_name_the_options_and_leave_others_out(capsys):
    flags = {"level": "fid_level", "clip": "fid-clip"}
    assert read("--fid_level", 0.3, "--no-fid-clip", flags=flags) == NoiseOptions(0.3, clip=False)
    parser = parser_of(flags=flags)
    for words in (["--level", "0.3"], ["--kind", "uniform"]):
        assert words[0] in error_of(capsys, parser.parse_args, words)


def test_fields_without_a_flag_keep_the_objects_value():
    ours = NoiseOptions(kind="uniform")
    assert read("--n", 0.2, options=ours, flags={"level": "n"}) == NoiseOptions(0.2, "uniform")


def test_a_check_names_the_scripts_own_option():
    with pytest.raises(ValueError, match=r"^--level: 2.0 is above 1$"):
        read("--level", 2)
    with pytest.raises(ValueError, match=r"^--fid_level: 2.0 is above 1$"):
        read("--fid_level", 2, flags={"level": "fid_level"})


def test_other_fields_of_a_message_become_options_too():
    with (
        pytest.raises(ValueError, match=r"^--fid_level: excludes --kind and --fid-clip$"),
        option_names({"level": "fid_level", "clip": "fid-clip"}),
    ):
        raise OptionError("level", "excludes `kind` and `clip`")


def test_a_refused_command_line_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        parser_of().parse_args(["--level", "-1"])
    line = capsys.readouterr().err
    assert stop.value.code == 2 and line.count("\n") == 1
    assert ": error: argument --level: -1 is not a number of at least 0" in line


def test_two_groups_of_one_class_stay_apart():
    parser = argparse.ArgumentParser()
    groups = [{"level": f"{name}_level"} for name in ("image", "mask")]
    for flags in groups:
        add_options(parser, NoiseOptions, "noise", flags=flags)
    args = parser.parse_args(["--mask_level", "0.4"])
    assert [read_options(NoiseOptions, args, flags).level for flags in groups] == [0.1, 0.4]


def test_a_table_of_groups_is_added_and_read_by_name():
    groups = {
        "image": Group(NoiseOptions(level=0.7), "image", {"level": "image_level"}),
        "plain": Group(PlainOptions, "plain"),
    }
    parser = argparse.ArgumentParser()
    add_groups(parser, groups)
    read_back = read_groups(groups, parser.parse_args(["--image_level", "0.4"]))
    assert read_back == {"image": NoiseOptions(level=0.4), "plain": PlainOptions()}


def test_marked_options_are_listed_by_where_they_are_stored():
    @dataclass(frozen=True)
    class Login:
        user: str = option("me", help="name", free_on_resume=True)
        key: str | None = option(None, help="password", secret=True)

    groups = {"own": Group(Login, "own"), "other": Group(Login, "other", {"key": "other-key"})}
    add_groups(parser := argparse.ArgumentParser(), groups)
    assert secret_names(groups) == ["key", "other_key"]
    assert free_names(groups) == ["user"]
    assert {"key", "other_key"} <= vars(parser.parse_args([])).keys()


def test_the_help_begins_with_the_docstring_and_shows_defaults(capsys):
    with pytest.raises(SystemExit):
        parser_of().parse_args(["--help"])
    text = capsys.readouterr().out
    assert "Add noise." in text and "python noise.py" not in text
    assert "deviation (default: 0.1)" in text and "same as --clip false" in text
    assert "(default: 64 64)" in text and "None" not in text


@pytest.mark.parametrize("default", [None, (), []])
def test_the_help_shows_no_default_that_nobody_can_type(default, capsys):
    parser = new_parser("Add noise.")
    parser.add_argument("--names", nargs="+", default=default, help="of the noises")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert capsys.readouterr().out.strip().endswith("of the noises")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "-1"], "argument --level: -1 is not a number of at least 0"),
        (["--level", "-1e3"], "argument --level: -1e3 is not a number of at least 0"),
        (["--level", "-inf"], "argument --level: -inf is not a number of at least 0"),
        (["--kind", "pink"], "argument --kind: invalid choice: 'pink'"),
        (["--clip", "maybe"], "argument --clip: 'maybe' is neither true nor false"),
        (["--size", "3"], "argument --size: expected 2 arguments"),
    ],
)
def test_wrong_values_name_the_option(words, message, capsys):
    assert message in error_of(capsys, parser_of().parse_args, words)
