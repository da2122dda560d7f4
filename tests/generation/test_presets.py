"""Presets: defaults of options that exist, below what the user gives."""

import json

import pytest

import generate
from core.command_line.option_sources import parse_given, parse_mapping
from generation.presets import PRESETS, with_preset

MASKS = ["--mask_dir", "masks", "--device", "cpu"]


def write_record(folder, options):
    """The record of a run with these options."""
    record = {"kind": "generation", "args": options | {"seed": 1, "n_augmentations_per_mask": 1}}
    (folder / "args.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_options_with_values_that_the_command_line_takes(name):
    values = PRESETS[name]
    assert parse_mapping(generate.build_parser(), values, name) == values
    settings = generate.parse_args([*MASKS, "--preset", name])
    assert values.items() <= settings.values.items() and settings.preset.preset == name
    assert settings.sampling.sampler == values["sampler"]


def test_given_options_win(tmp_path):
    words = [*MASKS, "--preset", "fast", "--ddim_steps", "7", "--no-joint"]
    sampling = generate.parse_args(words).sampling
    assert (sampling.sampler, sampling.steps, sampling.joint) == ("unipc", 7, False)
    (tmp_path / "run.yaml").write_text("preset: fast\nsampler: dpmpp\n")
    words = [*MASKS, "--options_file", str(tmp_path / "run.yaml")]
    sampling = generate.parse_args(words).sampling
    assert (sampling.sampler, sampling.steps) == ("dpmpp", PRESETS["fast"]["ddim_steps"])


def test_without_a_preset_nothing_changes():
    given = parse_given(generate.build_parser(), MASKS)
    assert with_preset(given) == given


def test_a_resumed_run_keeps_the_options_that_its_preset_meant(tmp_path):
    """Even if the preset means others meanwhile."""
    saved = {"mask_dir": "masks", "device": "cpu", "preset": "fast", "sampler": "unipc"}
    write_record(tmp_path, saved | {"ddim_steps": 9, "joint": False})
    words = ["--resume_run", str(tmp_path), "--preset", "fast"]
    sampling = generate.parse_args(words).sampling
    assert (sampling.steps, sampling.joint, sampling.guidance_interval) == (9, False, None)


@pytest.mark.parametrize("words", [["--preset", "fast"], ["--joint"]])
def test_a_run_that_is_older_than_an_option_had_its_default(tmp_path, words):
    write_record(tmp_path, {"mask_dir": "masks", "device": "cpu"})
    with pytest.raises(ValueError, match=f"{words[0]} differs from the run"):
        generate.parse_args(["--resume_run", str(tmp_path), *words])
