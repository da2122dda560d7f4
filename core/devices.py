"""The device that a script computes on."""

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
