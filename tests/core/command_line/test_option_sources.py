"""Sources of options: the command line, options files, earlier runs."""

import argparse
import re
from pathlib import Path

import pytest

from core.command_line.option_sources import (
    add_run_control,
    changed_options,
    dry_run_text,
    naming_record,
    parse_all,
    parse_given,
    plain,
    refuse_changes,
    refuse_edited,
    with_defaults,
)
from core.command_line.options import (
    new_parser,
    read_options,
)
from core.recording.records import DamagedRecord
from tests.noise_options import NoiseOptions, error_of, parser_of

# What was given


def from_file(tmp_path, text, *words):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return parse_given(parser_of(), ["--options_file", str(path), *words])


def test_errors_of_saved_options_name_the_record(tmp_path):
    with pytest.raises(ValueError, match=f"--a: bad .with the options in {tmp_path}/args.json"):
        with naming_record(tmp_path):
            raise ValueError("--a: bad")
    with pytest.raises(ValueError, match=f"^3: no such folder .with.*{tmp_path}/args.json"):
        with naming_record(tmp_path):
            raise FileNotFoundError("3: no such folder")
    damaged = f"{tmp_path}/state.json: damaged"
    with pytest.raises(ValueError, match=f"^{damaged}$"), naming_record(tmp_path):
        raise DamagedRecord(damaged)
    with pytest.raises(ValueError, match="^--a: bad$"), naming_record(None):
        raise ValueError("--a: bad")


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
        ("level: many\n", "level: 'many' is not a number"),
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
def test_what_is_wrong_with_a_file(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"run.yaml: .*{re.escape(message)}"):
        from_file(tmp_path, text)


def test_a_list_of_any_length_needs_one_value(tmp_path):
    parser = argparse.ArgumentParser()
    parser.add_argument("--folders", nargs="+", type=Path)
    add_run_control(parser)
    path = tmp_path / "run.yaml"
    words = ["--options_file", str(path)]
    path.write_text("folders: [a, b, c]\n")
    assert parse_given(parser, words)["folders"] == [Path("a"), Path("b"), Path("c")]
    path.write_text("folders: []\n")
    with pytest.raises(ValueError, match="folders: expected at least one value"):
        parse_given(parser, words)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.yaml"):
        parse_given(parser_of(), ["--options_file", str(tmp_path / "none.yaml")])


def test_a_required_option_may_stand_in_the_file(tmp_path, capsys):
    parser = new_parser("Draw.")
    parser.add_argument("--folder", type=Path, required=True)
    add_run_control(parser)
    path = tmp_path / "run.yaml"
    path.write_text("folder: a\n")
    assert parse_all(parser, ["--options_file", str(path)]).folder == Path("a")
    for _ in range(2):  # the parser is as it was
        line = error_of(capsys, parse_all, parser, [])
        assert "the following arguments are required: --folder" in line


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


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"kind": "evil"}, "run.json: kind: invalid choice: 'evil'"),
        ({"level": "much"}, "run.json: level: 'much' is not a number"),
        ({"level": [0.4]}, "run.json: level: .*expected one value"),
        ({"level": {"a": 1}}, "run.json: level: expected a value"),
        ({"size": 8}, "run.json: size: .*expected a list"),
        ({"clip": 3}, "run.json: clip: '3' is neither true nor false"),
    ],
)
def test_values_of_a_record_are_checked_like_those_of_the_command_line(saved, message):
    with pytest.raises(ValueError, match=message):
        with_defaults(parser_of(), {}, saved, Path("run.json"))


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


def test_changes_of_a_run_are_refused():
    saved = {"level": 0.4, "clip": True, "seed": 1}
    refuse_changes({"level": 0.4, "seed": 2, "new": 3}, saved, {"seed"}, "--resume")
    message = r"--clip differs from the run that --resume names \(True\); leave it out"
    with pytest.raises(ValueError, match=message):
        refuse_changes({"clip": False}, saved, {"seed"}, "--resume")


def test_an_edited_record_is_refused(tmp_path):
    started, now = {"level": 0.4, "seed": 1}, {"level": 0.4, "seed": 2, "new": 3}
    refuse_edited(tmp_path / "start.json", now, started, {"seed"}, "start anew.")
    with pytest.raises(ValueError) as error:
        refuse_edited(tmp_path / "start.json", now, started, set(), "start anew.")
    assert str(error.value) == (
        f"{tmp_path}/args.json: edited, as {tmp_path}/start.json has another --seed (1). "
        "Put it back, or start anew."
    )


def test_options_are_shown_as_a_file_that_gives_them_again(tmp_path):
    parser = new_parser("Draw.")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sides", type=int, nargs=2, default=(3, 4))
    parser.add_argument("--more", nargs="+", default=())
    parser.add_argument("--key")
    add_run_control(parser)
    args = parser.parse_args(["--folder", "a b", "--key", "secret"])
    text, plan = dry_run_text(vars(args), "one file", hidden=["key"]).split("\n\n")
    assert "secret" not in text and plan == "one file\ndry run: nothing was written"
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert parse_given(parser, ["--options_file", str(path)])["folder"] == Path("a b")
    assert parse_given(parser, ["--options_file", str(path)])["sides"] == [3, 4]


@pytest.mark.parametrize("value", [None, {}, [], [None]])
def test_nothing_is_no_value_of_an_option_with_a_default(value):
    with pytest.raises(ValueError, match="args.json: level"):
        with_defaults(parser_of(), {}, {"level": value}, Path("args.json"))
