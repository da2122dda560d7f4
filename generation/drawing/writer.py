"""Writing in the background."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

LIMIT = 64  # jobs that may wait; each holds an image
# PNG compression releases the interpreter's lock. One thread writes about 20 images of 512 pixels a
# second, four keep up with any GPU.
THREADS = min(4, os.cpu_count() or 1)


class BackgroundWriter:
    """Threads that write files while images are computed.

    Files of several jobs are written at once. What follows a job, such as its line in a list, is
    done in the order in which jobs came. A context manager that ends when all jobs are done. The
    error of a job is raised by a later `submit`, or at the end.
    """

    def __init__(self):
        self.pool, self.in_order = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(1)
        self.waiting: deque[Future] = deque()

    def submit(self, job: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Have `job` called, then `then` with its result; waits while too many jobs wait.

        Args:
            then: called after those of all earlier jobs, and not at all where `job` fails.
        """
        while self.waiting and (len(self.waiting) >= LIMIT or self.waiting[0].done()):
            self.waiting.popleft().result()
        running = self.pool.submit(job)
        self.waiting.append(self.in_order.submit(lambda: then(running.result())))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        # After an error of the block too: what was computed is written.
        self.pool.shutdown(wait=True, cancel_futures=False)
        self.in_order.shutdown(wait=True, cancel_futures=False)
        if error is None:
            while self.waiting:
                self.waiting.popleft().result()
