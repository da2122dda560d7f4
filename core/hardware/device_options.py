"""Options of the device that a script computes on, and of the numbers that it computes in.

Nothing here loads torch before a device is looked for, so that help and mistakes show at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.command_line.options import OptionError, option

if TYPE_CHECKING:
    import torch

# --precision -> torch's name of the type that operations compute in. TF32 is float32, but a GPU
# computes its products from 10 bits of each mantissa.
PRECISION_TYPES = {"16": "float16", "32": "float32", "bf16": "bfloat16", "tf32": "float32"}


def device_option(default: str = "auto"):
    """The option that names the device; its value goes to `pick_device`."""
    return option(
        default, None, "NAME", "auto takes a GPU where there is one; or cpu, cuda, cuda:1, mps, ..."
    )


def precision_option():
    """The option of the numbers that operations compute in, one of `PRECISION_TYPES`."""
    return option(
        "32",
        choices=tuple(PRECISION_TYPES),
        help="16 and bf16 compute in mixed precision; tf32 rounds factors of products to 10 bits, "
        "on GPUs from NVIDIA's Ampere on",
    )


def cuda_graphs_option():
    """The option that records kernels (`core.hardware.cuda_graphs`)."""
    return option(
        True,
        bool,
        help="on a GPU, record the kernels of the networks once and launch them together: the same "
        "kernels, faster for small batches; holds the memory of a step",
        free_on_resume=True,
    )


@dataclass(frozen=True, kw_only=True)  # or the device would come before what a subclass adds
class DeviceOptions:
    """The device that a script computes on."""

    device: str = device_option()

    def check(self):
        """Raise OptionError for a device that is not there."""
        check_device(self.device)


def pick_device(name: str) -> torch.device:
    """The device of this name; for `auto` the GPU where there is one.

    Raises:
        OptionError: for the field `device`: torch does not know it, or finds no GPU.
    """
    import torch  # here, because it takes seconds

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        message = f"{name}: torch knows no such device. Use auto, cpu or cuda."
        raise OptionError("device", message) from error
    # torch.device("cuda") succeeds without a GPU; the first tensor would fail, minutes later.
    if device.type == "cuda" and not torch.cuda.is_available():
        raise OptionError("device", f"{name}: torch finds no GPU. Use cpu.")
    if device.type == "mps" and not torch.mps.is_available():
        raise OptionError("device", f"{name}: torch finds no Apple GPU. Use cpu.")
    return device


def check_device(name: str) -> None:
    """Raise OptionError for a device that `pick_device` refuses; `auto` and `cpu` need no torch."""
    if name not in ("auto", "cpu"):
        pick_device(name)


def check_precision(precision: str, device_type: str) -> None:
    """Raise OptionError for the field `precision` where the device lacks it."""
    # On a CPU float16 is slow or missing, and TF32 is a format of GPUs; bf16 works.
    if precision in ("16", "tf32") and device_type == "cpu":
        raise OptionError("precision", f"{precision} needs a GPU; use 32 or bf16 on a CPU")
