"""Compiled networks; that kernels are right is shown in tests marked `gpu`."""

import importlib.util
import shutil

import pytest
import torch
from torch import nn

from core.command_line.options import OptionError
from core.hardware import compiling
from core.hardware.compiling import check_compile, compile_networks


def test_what_compiling_needs(monkeypatch):
    check_compile(False, "cpu")
    with pytest.raises(OptionError, match="compile: needs a CUDA GPU.*computes on cpu"):
        check_compile(True, "cpu")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match="package triton"):
        check_compile(True, "cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OptionError, match="C compiler"):
        check_compile(True, "cuda")
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "clang" else None)
    check_compile(True, "cuda")


def test_networks_are_compiled_whole_and_keep_their_names(monkeypatch):
    asked = []

    def compile(function, **options):
        asked.append(options)
        return lambda *inputs: 2 * function(*inputs)

    monkeypatch.setattr(torch, "compile", compile)
    network, x = nn.Linear(2, 2), torch.ones(1, 2)
    names, expected = network.state_dict().keys(), 2 * network(x)
    compile_networks([network])
    assert torch.equal(network(x), expected) and network.state_dict().keys() == names
    assert asked == [{"mode": compiling.MODE, "fullgraph": True}]
    assert compiling.MODE in compiling.MODES
