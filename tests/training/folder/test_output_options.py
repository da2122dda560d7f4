"""Which loggers a training has, and where they write."""

from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from training.folder.output_options import OutputOptions, build_loggers


@pytest.fixture(autouse=True)
def no_account(monkeypatch):
    """No account at Weights & Biases in the environment."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_loggers_that_are_asked_for(tmp_path):
    csv, tensorboard = build_loggers(OutputOptions(), tmp_path)
    assert isinstance(csv, CSVLogger) and isinstance(tensorboard, TensorBoardLogger)
    assert csv.log_dir == str(tmp_path / "csv" / "version_0")
    assert Path(tensorboard.log_dir) == tmp_path / "tensorboard"


@pytest.mark.parametrize(
    ("options", "environment", "names"),
    [
        ({}, {}, ["csv", "tensorboard"]),
        ({"wandb_api_key": "k"}, {}, ["csv", "tensorboard", "wandb"]),
        ({"logger": ("csv",)}, {"WANDB_API_KEY": "k"}, ["csv", "wandb"]),
        ({"logger": ("csv",)}, {"WANDB_MODE": "offline"}, ["csv", "wandb"]),
        ({"logger": ("csv",)}, {"WANDB_MODE": "disabled"}, ["csv"]),
        ({"logger": ("wandb", "csv", "csv")}, {"WANDB_API_KEY": "k"}, ["wandb", "csv"]),
    ],
)
def test_a_key_turns_weights_and_biases_on(monkeypatch, options, environment, names):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert OutputOptions(**options).logger_names == names
