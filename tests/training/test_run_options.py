"""What a run is continued from, and options that contradict each other."""

import dataclasses
import json

import pytest

import train
from core.command_line.groups import read_groups
from core.recording.records import RECORD
from core.recording.run_files import LAST, PREVIOUS
from training.run_options import FREE_ON_RESUME, GROUPS, TrainingOptions, read_saved_options


@pytest.mark.parametrize("option", ["--resume_training", "--run_id"])
def test_a_folder_without_a_run_blames_the_option_that_named_it(tmp_path, option):
    with pytest.raises(FileNotFoundError, match=f"{RECORD}: not there, so {option} cannot"):
        read_saved_options(tmp_path, option)
    (tmp_path / RECORD).write_text(json.dumps({"args": {"seed": 3}}))
    with pytest.raises(FileNotFoundError, match=f"{LAST}: not there, so {option} cannot"):
        read_saved_options(tmp_path, option)
    (tmp_path / LAST).touch()
    assert read_saved_options(tmp_path, option) == {"seed": 3}
    (tmp_path / LAST).rename(tmp_path / PREVIOUS)
    assert read_saved_options(tmp_path, option) == {"seed": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--enable_val_fid", "--enable_val_fid needs --val_image_path"),
        ("--save_control_only --no-sd_locked", "--save_control_only would lose the decoder"),
    ],
)
def test_options_of_different_groups_that_contradict_each_other(words, message):
    args = train.build_parser().parse_args(f"--image_path a --mask_path b {words}".split())
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**read_groups(GROUPS, args)).check()


def test_every_group_has_a_field():
    fields = [field.name for field in dataclasses.fields(TrainingOptions)]
    assert fields == [*GROUPS, "dry_run", "values"]


def test_no_option_that_decides_the_weights_is_free_on_resume():
    run = {"resume_training", "run_id", "output_root", "options_file", "dry_run", "licence"}
    length = {"max_epochs", "max_steps", "validate_every", "patience"}
    machine = {"gpus", "num_processes", "num_nodes", "num_workers", "max_pixels"}
    # What a run that was out of memory needs to go on
    memory = {"latent_memory", "gradient_checkpointing", "cuda_graphs"}
    logs = {"logger", "logger_freq", "logger_epoch_starts", "log_every", "wandb_api_key"}
    assert run | length | machine | memory | logs | {"save_every"} == FREE_ON_RESUME
