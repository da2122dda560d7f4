"""Devices and precisions."""

import pytest
import torch

from core.devices import check_precision, device_name, peak_memory, pick_device, wait_for
from core.options import OptionError


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


def test_memory_of_a_cpu_is_that_of_the_process():
    device = torch.device("cpu")
    before = peak_memory(device)
    block = torch.ones(2**27)  # 0.5 GiB
    wait_for(device)
    assert peak_memory(device) >= max(before, block.nbytes / 2**30)
    assert peak_memory(device) < 64  # GiB, not MiB
    assert "thread" in device_name(device)


def test_half_precision_needs_a_gpu():
    check_precision("16", "cuda")
    check_precision("bf16", "cpu")
    with pytest.raises(OptionError, match="16 needs a GPU; use 32 or bf16 on a CPU"):
        check_precision("16", "cpu")
