"""bf16 on processors that multiply in it, and on those that only convert to it.

The first kind takes about half of float32's time: GPUs from NVIDIA's Ampere on, CPUs with AMX or
AVX-512-BF16. The second kind converts, multiplies in float32 and converts back. On an Intel Xeon
with AVX-512 but without BF16, linear layers and convolutions of Stable Diffusion 1.5 took 1.7 to
5.1 times as long as in float32. No list of processors is complete, so a product is measured.
"""

import functools
from functools import partial

import torch

from core.hardware.measuring import share_of_time
from core.notices import notify

SIDE = 1024  # of the measured matrix: its product takes 5 ms in float32 on one thread


@functools.cache
def bf16_time_on_cpu() -> float:
    """CPU time of a product in bf16, as a share of float32's; about 0.2 s to measure."""
    products = [
        partial(
            torch.mm, torch.ones(SIDE // 4, SIDE, dtype=dtype), torch.ones(SIDE, SIDE, dtype=dtype)
        )
        for dtype in (torch.bfloat16, torch.float32)
    ]
    return share_of_time(*products)


def multiplies_bf16(device_type: str) -> bool:
    """Tell whether products in bf16 are faster than those in float32 on the CPU or the GPU."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type != "cpu" or bf16_time_on_cpu() < 1


def notify_of_slow_bf16(device_type: str, precision: str) -> None:
    """Warn the user of a run in bf16 that would be faster in float32.

    Args:
        precision: one of `core.hardware.devices.PRECISIONS`.
    """
    if precision != "bf16" or multiplies_bf16(device_type):
        return
    processor, slower = "GPU", ""
    if device_type == "cpu":
        processor = "CPU"
        slower = f": a product takes {bf16_time_on_cpu():.1f} times as long as in float32"
    notify(
        f"precision bf16: this {processor} does not multiply in bf16{slower}. "
        "Use 32 unless memory is short."
    )
