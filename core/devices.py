"""The device that a script computes on."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.options import OptionError, option

# --precision -> type that operations compute in. TF32 is float32, but a GPU computes its products
# from 10 bits of each mantissa.
PRECISIONS = {
    "16": torch.float16,
    "32": torch.float32,
    "bf16": torch.bfloat16,
    "tf32": torch.float32,
}


def device_option(default: str = "auto"):
    """The option that names the device; its value goes to `pick_device`."""
    return option(
        default, None, "NAME", "auto takes a GPU where there is one; or cpu, cuda, cuda:1, mps, ..."
    )


def precision_option():
    """The option of the numbers that operations compute in, one of `PRECISIONS`."""
    return option(
        "32",
        choices=tuple(PRECISIONS),
        help="16 and bf16 compute in mixed precision; tf32 rounds factors of products to 10 bits, "
        "on GPUs from NVIDIA's Ampere on",
    )


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
    # On a CPU float16 is slow or missing, and TF32 is a format of GPUs; bf16 works.
    if precision in ("16", "tf32") and device_type == "cpu":
        raise OptionError("precision", f"{precision} needs a GPU; use 32 or bf16 on a CPU")


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Compute products of float32 tensors exactly within the block, or in TF32.

    With `32` they are exact, convolutions too, which torch rounds to TF32 if nobody says otherwise.
    With all other precisions, what is left in float32 may be as coarse as the rest.

    Args:
        precision: one of `PRECISIONS`.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def mixed_precision(device_type: str, precision: str) -> Iterator[None]:
    """Compute with one of `PRECISIONS` within the block."""
    dtype = PRECISIONS[precision]
    # Each operation casts weights that are float32, or stays exact where 16 bits are too few.
    mixed = torch.autocast(device_type, dtype, enabled=dtype != torch.float32)
    with float32_products(precision), mixed:
        yield


def full_range(device_type: str) -> torch.autocast:
    """Context that computes in float32 where autocast would use float16.

    For networks whose activations exceed 65504, the largest float16. bf16 has float32's range and
    stays.
    """
    dtype = torch.get_autocast_dtype(device_type)
    mixed = torch.is_autocast_enabled(device_type)
    return torch.autocast(device_type, dtype, enabled=mixed and dtype != torch.float16)


def to_host(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copies of a device's tensors on the CPU, with one wait for all of them.

    Each `.cpu()` would wait until the device has nothing to do, and leave it idle until Python has
    found the next work.
    """
    # Pinned memory: the device writes there while Python goes on.
    copies = [
        torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda).copy_(
            tensor, non_blocking=True
        )
        for tensor in tensors
    ]
    for device in {tensor.device for tensor in tensors}:
        wait_for(device)
    return copies


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on `device`; nothing waits for the copy to a GPU."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


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
