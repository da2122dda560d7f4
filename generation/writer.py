"""Writing in the background."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

LIMIT = 64  # jobs that may wait; each holds an image


class BackgroundWriter:
    """A thread that does jobs in order, so that files are written while images are computed.

    A context manager that ends when all jobs are done. The error of a job is raised by a later
    `submit`, or at the end.
    """

    def __init__(self):
        # One thread keeps the order. PNG compression releases the interpreter's lock.
        self.pool, self.waiting = ThreadPoolExecutor(1), deque()

    def submit(self, function: Callable, *arguments) -> None:
        """Have `function` called; waits while too many jobs wait."""
        while self.waiting and (len(self.waiting) >= LIMIT or self.waiting[0].done()):
            self.waiting.popleft().result()
        self.waiting.append(self.pool.submit(function, *arguments))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        # After an error of the block too: what was computed is written.
        self.pool.shutdown(wait=True, cancel_futures=False)
        if error is None:
            while self.waiting:
                self.waiting.popleft().result()
