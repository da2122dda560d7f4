"""Worker processes of scripts."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import cv2

from core.command_line.options import non_negative_int, option
from core.imaging.image_header import BIT_DEPTH_VARIABLE, MAX_PIXELS_VARIABLE
from core.refusals import mark_refusal

# Workers begin as clean processes. A copy of a process that runs threads (torch, OpenCV, wandb) can
# inherit a lock that is held, and wait forever for a thread that the copy does not have.
CLEAN = multiprocessing.get_context("forkserver")


def workers_option():
    """The option of the number of processes that share the work."""
    # The cores that this process may use: on a cluster fewer than the machine has.
    cores = len(os.sched_getaffinity(0))
    return option(cores, non_negative_int, "INT", "processes; 0 or 1 works in this one")


def in_workers(function: Callable, items: Sequence, num_workers: int, chunk: int = 4) -> Iterator:
    """Results of `function` for all items, in their order.

    Args:
        function: must be importable by a worker, as must what `functools.partial` binds to it.
        num_workers: processes; below two, this process does the work.
        chunk: number of items that a worker is handed at a time.
    """
    if num_workers < 2:
        yield from map(function, items)
        return
    # The process that workers are copied from may be older than the options.
    variables = {name: os.environ.get(name) for name in (BIT_DEPTH_VARIABLE, MAX_PIXELS_VARIABLE)}
    with ProcessPoolExecutor(num_workers, CLEAN, _prepare, (variables,)) as pool:
        try:
            yield from pool.map(partial(_call, function), items, chunksize=chunk)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or an error would wait for all items
            raise


def _call(function: Callable, item):
    try:
        return function(item)
    except Exception as error:
        mark_refusal(error)
        raise


def _prepare(variables: Mapping[str, str | None]) -> None:
    """Set up a worker: it uses one OpenCV thread, ignores Ctrl-C and ends with the main process.

    Args:
        variables: of the main process's environment.
    """
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process stops the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the main process has ended, even by SIGKILL, and end this one."""
    multiprocessing.parent_process().join()
    os._exit(1)
