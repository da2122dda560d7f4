"""Requests of a scheduler to stop."""

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class StoppedForRequeue(KeyboardInterrupt):
    """The work was stopped by SIGUSR1, by which Slurm announces the end of a job's time.

    Everything is saved; the same command goes on with it.
    """


@contextmanager
def kept_handlers(numbers: Collection[int]) -> Iterator[None]:
    """Put back at the end of the block what these signals did before it."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def requeue_at_once() -> Iterator[None]:
    """Raise StoppedForRequeue when SIGUSR1 arrives in the block, whose work may be cut off there.

    A part of the block may have a handler of its own, such as one that saves first.
    """

    def stop(number, frame):
        raise StoppedForRequeue

    with kept_handlers((signal.SIGUSR1,)):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, stop)
        yield


@contextmanager
def requeue_ignored() -> Iterator[None]:
    """Ignore SIGUSR1 in the block, after which there is nothing to go on with."""
    with kept_handlers((signal.SIGUSR1,)):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        yield


class StopRequest:
    """Context manager that is true once SIGTERM or SIGUSR1 has asked the process to end soon.

    The work checks it between two pieces, so nothing is cut off in the middle.

    Attributes:
        received: number of the signal, 0 for none.
    """

    # SIGTERM: `scancel`, a shutdown. SIGUSR1: what `--signal` of Slurm sends before the time is up.
    SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

    def __enter__(self):
        self.received = 0
        self.before = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def _receive(self, number, frame):
        # A handler runs between any two instructions, so it only takes a note.
        self.received = number

    def __bool__(self):
        return self.received != 0

    def __exit__(self, *error):
        # From here on signals act as before, and SIGTERM ends the process at once.
        for number, handler in self.before.items():
            signal.signal(number, handler)
