"""Compiled networks.

The mode is torch's default: kernels are fused, products and convolutions stay those of the vendor's
libraries. The two other modes were not measured yet:

- `max-autotune-no-cudagraphs` tries many kernels for every product, minutes at the start of each
  run and for each size of image.
- `reduce-overhead` records CUDA graphs. They save the launches of kernels, which a batch of 16
  hides already. But a graph overwrites its last output, and guidance without control (guess mode)
  and several branches keep outputs while the same network runs again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from core.command_line.options import OptionError, option

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from torch import nn

MODE = "default"
MODES = ("default", "max-autotune-no-cudagraphs", "reduce-overhead")
COMPILERS = ("cc", "gcc", "clang")  # triton builds the launchers of its kernels with one of them


def compile_option():
    """The option that compiles the networks; its value goes to `check_compile`."""
    return option(
        False,
        bool,
        help="compile the networks: faster on a GPU, after a minute or more at the start and at "
        "each new size of images or batch; the last bits of results differ",
    )


def check_compile(wanted: bool, device_type: str) -> None:
    """Raise OptionError for the field `compile` where networks cannot be compiled."""
    if not wanted:
        return
    # On a CPU, compiling takes longer than most runs: over four minutes for the nano model.
    if device_type != "cuda":
        raise OptionError("compile", f"needs a CUDA GPU, and this run computes on {device_type}")
    if importlib.util.find_spec("triton") is None:
        raise OptionError("compile", "needs the package triton, which is not installed")
    if not (os.environ.get("CC") or any(map(shutil.which, COMPILERS))):
        raise OptionError("compile", "needs a C compiler, such as gcc, and finds none")


def compile_networks(networks: list[nn.Module], mode: str = MODE) -> None:
    """Have networks compiled when they are first called; names of weights stay as they are.

    A second batch size makes kernels for any size. Networks are compiled as a whole: an operation
    that cannot be compiled is an error, not a silent loss of speed.

    Args:
        mode: one of `MODES`.
    """
    for network in networks:
        network.compile(mode=mode, fullgraph=True)
