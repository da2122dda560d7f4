"""Devices and precisions that a script may be asked for."""

import pytest
import torch

from core.command_line.options import OptionError
from core.hardware.device_options import check_device, check_precision, pick_device


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    for available, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device("auto").type == kind


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="device: warp: torch knows no such device"):
        pick_device("warp")
    with pytest.raises(OptionError, match="device: cuda:1: torch finds no GPU"):
        pick_device("cuda:1")
    with pytest.raises(OptionError, match="device: cuda: torch finds no GPU"):
        check_device("cuda")
    check_device("auto")


def test_half_precision_needs_a_gpu():
    check_precision("16", "cuda")
    check_precision("bf16", "cpu")
    check_precision("tf32", "cuda")
    for precision in ("16", "tf32"):
        with pytest.raises(OptionError, match=f"{precision} needs a GPU; use 32 or bf16 on a CPU"):
            check_precision(precision, "cpu")
