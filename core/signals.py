"""Requests of a scheduler to stop."""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

# SIGTERM: `scancel`, a shutdown. SIGUSR1: what `--signal` of Slurm sends before the time is up.
STOPS = (signal.SIGTERM, signal.SIGUSR1)

Handler = Callable | int | None  # as `signal.getsignal` gives it


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
        set_handlers(before)


def set_handlers(handlers: Mapping[int, Handler]) -> None:
    """Set what signals do, by their numbers; nothing in threads, which may not.

    None stands for a handler that was not installed from Python. Python cannot put it back, so the
    signal gets its default again.
    """
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def requeue_at_once() -> Iterator[None]:
    """Raise StoppedForRequeue when SIGUSR1 arrives in the block, whose work may be cut off there.

    A part of the block may have a handler of its own, such as one that saves first.
    """

    def stop(number, frame):
        raise StoppedForRequeue

    with kept_handlers((signal.SIGUSR1,)):
        set_handlers({signal.SIGUSR1: stop})
        yield


@contextmanager
def stops_ignored() -> Iterator[None]:
    """Ignore `STOPS` in the block, which ends soon and leaves nothing to go on with."""
    with kept_handlers(STOPS):
        set_handlers(dict.fromkeys(STOPS, signal.SIG_IGN))
        yield


def leave_stops_to_parent(worker: int) -> None:
    """Let a worker of a DataLoader end by its parent's will alone, by its `worker_init_fn`.

    Ctrl-C and `STOPS` are sent to all processes of a job at once. The main process finishes its
    step, for which it needs the workers. When it ends, it sends them SIGTERM and waits for them.

    Args:
        worker: its number, which changes nothing.
    """
    set_handlers(dict.fromkeys((signal.SIGINT, signal.SIGUSR1), signal.SIG_IGN))
    # Blocked, for a thread to wait for: a handler would not learn who has sent it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_by_parent, args=[os.getppid()], daemon=True).start()


def _end_by_parent(parent: int) -> None:
    """Wait for the SIGTERM that a process of this number sends, then end this process."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


class StopRequest:
    """Context manager that is true once one of `STOPS` has asked the process to end soon.

    The work checks it between two pieces, so nothing is cut off in the middle.

    Attributes:
        received: number of the signal, 0 for none.
    """

    def __enter__(self):
        self.received = 0
        self.before = {number: signal.getsignal(number) for number in STOPS}
        set_handlers(dict.fromkeys(STOPS, self._receive))
        return self

    def _receive(self, number, frame):
        # A handler runs between any two instructions, so it only takes a note.
        self.received = number

    def __bool__(self):
        return self.received != 0

    def __exit__(self, *error):
        # From here on signals act as before, and SIGTERM ends the process at once.
        set_handlers(self.before)
