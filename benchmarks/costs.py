"""Time and memory of repeated calls, on a GPU or a CPU."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch

from core.hardware.devices import peak_memory, wait_for
from core.hardware.memory import give_back_freed_memory

WARM_UP = {"cuda": 2, "cpu": 1}  # calls before those that are timed: memory is allocated


@dataclass(frozen=True)
class Cost:
    """Medians of one case of one side.

    Attributes:
        seconds: of a call; of the processor on a CPU.
        peak, above: GiB at the peak, in all and above what was there before the first call.
    """

    seconds: float
    peak: float
    above: float


def reset_peak(device: torch.device) -> None:
    """Let `peak_memory` begin anew with the memory in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        give_back_freed_memory()  # else a call that returns it seems to need less than it does
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak of this process


def cost_of(work: Callable[[], None], repeats: int, device: torch.device) -> Cost:
    """Cost of a call after the first."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    reset_peak(device)
    before, taken = peak_memory(device), []
    for _ in range(WARM_UP[device.type] + repeats):
        wait_for(device)
        start = clock()
        work()
        wait_for(device)
        taken.append(clock() - start)
    peak = peak_memory(device)
    return Cost(statistics.median(taken[-repeats:]), peak, peak - before)


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Median of each number by itself."""
    return Cost(*map(statistics.median, zip(*map(astuple, costs), strict=True)))
