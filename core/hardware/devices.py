"""The device that a script computes on."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from core.hardware.device_options import PRECISION_TYPES

PRECISIONS = {name: getattr(torch, kind) for name, kind in PRECISION_TYPES.items()}


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


def in_bf16() -> bool:
    """Tell whether autocast to bf16 is on for the CPU."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
