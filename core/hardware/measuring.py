"""Times of two ways to the same result on this processor."""

import time
from collections.abc import Callable

ROUNDS = 4  # by turns; in the first one kernels are built, so it is never the fastest


def share_of_time(way: Callable[[], object], usual: Callable[[], object]) -> float:
    """CPU time of `way` as a share of that of `usual`, the fastest calls of some rounds.

    CPU time counts no other process, and two ways by turns find the same circumstances.
    """
    seconds = {way: [], usual: []}
    for _ in range(ROUNDS):
        for function, times in seconds.items():
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
    return min(seconds[way]) / min(seconds[usual])
