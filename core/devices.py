"""The device that a script computes on."""

import resource

import torch

from core.options import OptionError, option

# --precision -> type that operations compute in; weights stay float32
PRECISIONS = {"16": torch.float16, "32": torch.float32, "bf16": torch.bfloat16}


def device_option(default: str = "auto"):
    """The option that names the device; its value goes to `pick_device`."""
    return option(
        default, None, "NAME", "auto takes a GPU where there is one; or cpu, cuda, cuda:1, mps, ..."
    )


def precision_option():
    """The option of the numbers that operations compute in, one of `PRECISIONS`."""
    return option("32", choices=tuple(PRECISIONS), help="16 and bf16 compute in mixed precision")


def pick_device(name: str) -> torch.device:
    """The device of this name; for `auto` the GPU where there is one.

    Raises:
        OptionError: for the field `device`: torch does not know it, or finds no GPU.
    """
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


def check_precision(precision: str, device_type: str) -> None:
    """Raise OptionError for the field `precision` where the device lacks it."""
    # On a CPU float16 is slow or missing; bf16 works.
    if precision == "16" and device_type == "cpu":
        raise OptionError("precision", "16 needs a GPU; use 32 or bf16 on a CPU")


def device_name(device: torch.device) -> str:
    """The GPU's name, or the number of CPU threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU, {torch.get_num_threads()} thread(s)"


def wait_for(device: torch.device) -> None:
    """Return when the device has finished what it was asked to do.

    A GPU works while Python goes on, so a clock that does not wait measures nothing.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> float:
    """The most memory used so far, in GiB: on the GPU, or by the whole process on a CPU."""
    if device.type == "cuda":
        # What tensors took; the caching allocator may hold more.
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts in KiB
