"""Options of a training: defaults, files of options, dry runs, secrets."""

import sys
from pathlib import Path

import pytest
import wandb

import train
from tests.trained import only_run


@pytest.mark.parametrize(
    "words",
    [["--sd_locked", "false"], ["--sd_locked", "False"], ["--no-sd_locked"], ["--sd_locked=0"]],
)
def test_sd_locked_is_a_real_boolean(options, words):
    def model(*more):
        return train.parse_args([*options, *more]).model

    assert model(*words).sd_locked is False
    assert model().sd_locked is True and model().only_mid_control is False
    assert model("--only_mid_control", "False").only_mid_control is False
    assert model("--only_mid_control").only_mid_control is True


def test_defaults_are_the_published_ones():
    args = train.build_parser().parse_args([])
    published = {
        "batch_size": 2,
        "logger_freq": 300,
        "learning_rate": 1e-5,
        "condition_type": "segmentation",
        "precision": "32",
    }
    published |= {"num_workers": 0, "wandb_project": "EM-ControlNet", "rgba_alpha_scale": 1.0}
    assert {key: vars(args)[key] for key in published} == published
    assert args.resume_path == Path("models/control_sd15_ini.ckpt")
    assert args.cldm_config_path == Path("models/cldm_v15.yaml")
    assert train.build_parser().parse_args(["--resume", "x.ckpt"]).resume_path == Path("x.ckpt")


def test_keys_are_neither_stored_nor_printed(options, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    # The training sets it; monkeypatch takes it away again, or later tests would try to log in.
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setattr(sys, "argv", ["train.py", "--wandb_api_key", "a" * 40])
    train.main([*options, "--max_steps", "1", "--wandb_api_key", "a" * 40])
    wandb.finish()  # its file is complete then
    out, err = capfd.readouterr()
    run = only_run(tmp_path)
    assert (run / "wandb").is_dir()
    for path in run.rglob("*"):
        assert not path.is_file() or b"a" * 40 not in path.read_bytes(), path
    assert "a" * 40 not in out + err
    assert "***" in (run / "args.json").read_text()


def test_a_dry_run_says_what_would_happen_and_writes_nothing(options, tmp_path, capsys):
    train.main([*options, "--max_epochs", "4", "--wandb_api_key", "a" * 40, "--dry_run"])
    shown = capsys.readouterr().out
    assert "a" * 40 not in shown
    assert "learning_rate: 0.001" in shown and "batch_size: 2" in shown
    assert "6 training and 0 validation pairs, 64 x 64 pixels" in shown
    assert "3 batches per epoch, 12 optimizer steps in all" in shown
    assert "last.ckpt every 500 steps" in shown
    assert not (tmp_path / "runs").exists()
    # the printed options are an options file that gives the same run
    path = tmp_path / "run.yaml"
    path.write_text(shown[: shown.index("6 training")])
    read = train.parse_args(["--options_file", str(path)])
    assert read.optimization.max_epochs == 4 and read.optimization.learning_rate == 1e-3
    assert not read.dry_run


def test_an_options_file_gives_what_the_command_line_does_not(options, tmp_path, error_line):
    path = tmp_path / "run.yaml"
    path.write_text("batch_size: 3\nlearning_rate: 5e-4\ncrop_scale: [0.5, 1]\nsd_locked: false\n")
    read = train.parse_args([*options, "--options_file", str(path)])
    assert read.values["batch_size"] == read.optimization.batch_size == 3
    assert read.optimization.learning_rate == 1e-3
    assert read.samples.crop_scale == [0.5, 1.0] and read.model.sd_locked is False
    path.write_text("batchsize: 3\n")
    assert "no option is named batchsize" in error_line(train.main, "--options_file", path)
