"""When the validation FID is refused, and the device that its network gets."""

from pathlib import Path

import pytest
import torch

from core.command_line.options import OptionError
from training.callbacks import validation
from training.callbacks.validation import build_validation_fid
from training.options import SAMPLING, ValidationFidOptions, ValidationNetworkOptions


def build(count, **network):
    """The callback for `count` validation samples."""
    options = ValidationNetworkOptions(**network)
    return build_validation_fid(
        ValidationFidOptions(), SAMPLING, options, range(count), Path("run")
    )


def test_the_fid_can_be_monitored_only_where_it_is_computed():
    ValidationFidOptions(enable_val_fid=True, monitor="val/cem_fid").check()
    with pytest.raises(OptionError, match="needs --enable_val_fid"):
        ValidationFidOptions(monitor="val/cem_fid").check()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_fid(count):
    with pytest.raises(ValueError, match=f"found {count} validation image"):
        build(count)


def test_only_the_default_falls_back_to_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = []
    monkeypatch.setattr(validation, "load_backbone", lambda network, _: loaded.append(network))
    build(2)
    assert loaded[0].device == "cpu" and loaded[0].image_size == 512
    assert "no GPU found" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="cuda:1: torch finds no GPU"):
        build(2, device="cuda:1")
