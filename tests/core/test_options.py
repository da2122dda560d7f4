"""Options: types, groups with the script's own names, options files, values of an earlier run."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.options import (
    OptionError,
    add_bool,
    add_options,
    add_run_control,
    changed_options,
    dashed,
    format_options,
    fraction,
    new_parser,
    non_negative_float,
    non_negative_int,
    option,
    parse_given,
    plain,
    positive_float,
    positive_int,
    read_options,
    refuse_changes,
    str_to_bool,
    usage_errors,
    with_defaults,
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


# Types


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (positive_int, {"1": 1, "07": 7}, ("0", "-1", "1.5", "x", "")),
        (non_negative_int, {"0": 0, "12": 12}, ("-1", "0.5")),
        (positive_float, {"1e-3": 0.001, "2": 2.0}, ("0", "-1", "inf", "nan")),
        (non_negative_float, {"0": 0.0, "9.5": 9.5}, ("-0.1", "inf", "nan")),
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


def test_a_switch_can_be_on_its_own():
    parser = argparse.ArgumentParser()
    add_bool(parser, "--keep", False, "keep all")
    assert [parser.parse_args(words).keep for words in ([], ["--keep"], ["--no-keep"])] == [
        False,
        True,
        False,
    ]


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


def test_a_refused_value_can_be_a_usage_error(capsys):
    parser = parser_of()

    def call():
        with usage_errors(parser):
            read_options(NoiseOptions, parser.parse_args(["--level", "2"]))

    assert "error: --level: 2.0 is above 1" in error_of(capsys, call)
    with usage_errors(parser):
        pass  # nothing is wrong, nothing ends


def test_two_groups_of_one_class_stay_apart():
    parser = argparse.ArgumentParser()
    groups = [{"level": f"{name}_level"} for name in ("image", "mask")]
    for flags in groups:
        add_options(parser, NoiseOptions, "noise", flags=flags)
    args = parser.parse_args(["--mask_level", "0.4"])
    assert [read_options(NoiseOptions, args, flags).level for flags in groups] == [0.1, 0.4]


def test_the_help_begins_with_the_docstring_and_shows_defaults(capsys):
    with pytest.raises(SystemExit):
        parser_of().parse_args(["--help"])
    text = capsys.readouterr().out
    assert "Add noise." in text and "python noise.py" not in text
    assert "deviation (default: 0.1)" in text and "same as --clip false" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "-1"], "argument --level: -1 is not a number of at least 0"),
        (["--kind", "pink"], "argument --kind: invalid choice: 'pink'"),
        (["--clip", "maybe"], "argument --clip: 'maybe' is neither true nor false"),
        (["--size", "3"], "argument --size: expected 2 arguments"),
    ],
)
def test_wrong_values_name_the_option(words, message, capsys):
    assert message in error_of(capsys, parser_of().parse_args, words)


# What was given


def from_file(tmp_path, text, *words):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return parse_given(parser_of(), ["--options_file", str(path), *words])


def test_only_what_was_given_is_there():
    assert parse_given(parser_of(), []) == {}
    default = parse_given(parser_of(), ["--level", "0.1"])
    assert default == {"level": 0.1}  # given, though equal to the default
    assert parse_given(parser_of(), ["--no-clip", "--dry_run"]) == {"clip": False, "dry_run": True}


def test_a_files_values_are_typed_like_those_of_the_command_line(tmp_path):
    text = "level: 0.5\nkind: uniform\nclip: no\nsize: [32, 48]\noutput: 12\ndry_run: true\n"
    given = from_file(tmp_path, text)
    assert given.pop("options_file") == tmp_path / "run.yaml"
    words = "--level 0.5 --kind uniform --no-clip --size 32 48 --out-dir 12 --dry_run"
    assert given == parse_given(parser_of(), words.split())
    assert isinstance(given["level"], float) and given["output"] == Path("12")


def test_the_command_line_wins_over_the_file(tmp_path):
    given = from_file(tmp_path, "level: 0.5\nclip: false\n", "--level", "0.2", "--clip")
    assert (given["level"], given["clip"]) == (0.2, True)
    assert with_defaults(parser_of(), given).kind == "normal"


def test_interpolation_works_and_an_empty_value_keeps_the_default(tmp_path):
    given = from_file(tmp_path, "kind:\nlevel: 0.5\noutput: out_${level}\n")
    assert given["output"] == Path("out_0.5") and "kind" not in given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levle: 0.5\n", "no option is named levle"),
        ("help: true\n", "no option is named help"),
        ("options_file: other.yaml\n", "no option is named options_file"),
        ("level: -1\n", "level: -1 is not a number of at least 0"),
        ("level: many\n", "level: invalid non_negative_float value: 'many'"),
        ("level: [0.1, 0.2]\n", "level: [0.1, 0.2]: expected one value"),
        ("kind: pink\n", "kind: invalid choice: 'pink'"),
        ("clip: maybe\n", "clip: 'maybe' is neither true nor false"),
        ("dry_run: maybe\n", "dry_run: 'maybe' is neither true nor false"),
        ("size: 3\n", "size: 3: expected a list"),
        ("size: [1, 2, 3]\n", "size: [1, 2, 3]: expected 2 values"),
        ("size: [1, 0]\n", "size: 0 is below 1"),
        ("- level\n", "expected options by name"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, message, capsys):
    line = error_of(capsys, from_file, tmp_path, text)
    assert "run.yaml: " in line and message in line


def test_a_list_of_any_length_needs_one_value(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--folders", nargs="+", type=Path)
    add_run_control(parser)
    path = tmp_path / "run.yaml"
    words = ["--options_file", str(path)]
    path.write_text("folders: [a, b, c]\n")
    assert parse_given(parser, words)["folders"] == [Path("a"), Path("b"), Path("c")]
    path.write_text("folders: []\n")
    assert "folders: expected at least one value" in error_of(capsys, parse_given, parser, words)


def test_a_missing_file_is_an_error(tmp_path, capsys):
    words = ["--options_file", str(tmp_path / "none.yaml")]
    assert "none.yaml" in error_of(capsys, parse_given, parser_of(), words)


# Earlier runs


def test_given_then_saved_then_default():
    saved = {"level": 0.4, "kind": "uniform", "clip": False, "size": [8, 9], "output": "out"}
    args = with_defaults(parser_of(), {"level": 0.9}, saved)
    expected = NoiseOptions(0.9, "uniform", False, [8, 9], Path("out"))
    assert read_options(NoiseOptions, args) == expected
    assert args.dry_run is False and not hasattr(args, "help")


def test_texts_of_a_record_become_values():
    args = with_defaults(parser_of(), {}, {"level": "0.4", "clip": "False", "size": ["8", "9"]})
    assert (args.level, args.clip, args.size) == (0.4, False, [8, 9])


def test_unknown_names_of_a_record_stay():
    assert with_defaults(parser_of(), {}, {"retired": "x"}).retired == "x"


def test_plain_is_what_a_record_holds():
    assert plain({"size": (1, 2), "output": Path("out")}) == {"size": [1, 2], "output": "out"}


def test_changed_options():
    saved = plain({"level": 0.4, "size": (1, 2), "output": Path("out"), "seed": 1})
    now = {"level": 0.4, "size": (1, 2), "output": Path("out"), "seed": 2, "new": 1}
    assert changed_options(now, saved, set()) == ["--seed"]
    assert changed_options(now, saved, {"seed"}) == []
    assert changed_options({}, {"level": 0.4}, set()) == ["--level"]


def test_changes_of_a_run_are_refused(capsys):
    saved = {"level": 0.4, "clip": True, "seed": 1}
    parser = parser_of()
    refuse_changes(parser, {"level": 0.4, "seed": 2, "new": 3}, saved, {"seed"}, "--resume")
    given = {"clip": False}
    line = error_of(capsys, refuse_changes, parser, given, saved, {"seed"}, "--resume")
    assert "--clip differs from the run that --resume names (True); leave it out" in line


def test_options_are_shown_as_a_file_that_gives_them_again(tmp_path):
    parser = new_parser("Draw.")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sides", type=int, nargs=2, default=(3, 4))
    parser.add_argument("--key")
    add_run_control(parser)
    args = parser.parse_args(["--folder", "a b", "--key", "secret"])
    text = format_options(vars(args), hidden=("key", "options_file"))
    assert "secret" not in text
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert parse_given(parser, ["--options_file", str(path)])["folder"] == Path("a b")
    assert parse_given(parser, ["--options_file", str(path)])["sides"] == [3, 4]
