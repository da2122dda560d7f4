"""The device that a script computes on."""

import resource

import torch


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU when there is one; raises ValueError for a device that is not there."""
    try:
        device = (
            torch.device("cuda" if torch.cuda.is_available() else "cpu")
            if name == "auto"
            else torch.device(name)
        )
    except RuntimeError as error:
        raise ValueError(
            f"--device {name}: torch knows no such device. Use auto, cpu or cuda."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch finds no GPU. Use --device cpu.")
    return device


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> float:
    """The most memory in use so far in GiB: of the GPU, or of the whole process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
