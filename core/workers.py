"""How scripts start worker processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import cv2

# Workers begin as clean processes: the copy of a process that runs threads (torch, OpenCV, wandb) can wait for a lock that none of its threads will free.
CLEAN = multiprocessing.get_context("forkserver")


def in_workers(function: Callable, items: Sequence, num_workers: int, chunk: int = 4) -> Iterator:
    """`map(function, items)` in `num_workers` processes, which are handed `chunk` items at a time, or in this one where that is below two."""
    if num_workers < 2:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(num_workers, CLEAN, _prepare) as pool:
        try:
            yield from pool.map(function, items, chunksize=chunk)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or an error would wait for all that is left
            raise


def _prepare() -> None:
    """One thread for OpenCV; Ctrl-C is for the process that waits for all, and none outlives that one."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
