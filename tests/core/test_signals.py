import os
import signal
import subprocess
import sys
import threading

import pytest

from core.signals import STOPS, StopRequest, set_handlers, stops_ignored


def test_a_request_is_noted_and_handlers_come_back():
    before = [signal.getsignal(number) for number in STOPS]
    for number in STOPS:
        with StopRequest() as stop:
            assert not stop and stop.received == 0
            os.kill(os.getpid(), number)
            assert stop and stop.received == number
    assert [signal.getsignal(number) for number in STOPS] == before


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_is_ignored_where_the_work_is_nearly_done(number):
    before = signal.getsignal(number)
    with stops_ignored():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_handler_of_other_code_leaves_the_default_behind():
    """`signal.getsignal` gives None for one that was not installed from Python."""
    set_handlers({signal.SIGUSR2: signal.SIG_IGN})
    set_handlers({signal.SIGUSR2: None})
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


LOADING = """
import os, signal
from torch.utils.data import DataLoader
from core.signals import leave_stops_to_parent
batches = iter(DataLoader(range(6), num_workers=1, worker_init_fn=leave_stops_to_parent))
next(batches)
worker = batches._workers[0].pid
for number in STOPS:
    os.system(f"kill -{number} {worker}")  # by another process, as Slurm does
print(len(list(batches)))
batches = iter(DataLoader(range(6), num_workers=1, worker_init_fn=leave_stops_to_parent))
del type(batches).__del__  # so the program ends as with an iterator that was made half-way
"""


def test_workers_end_by_their_parent_alone():
    """Without an end of their own, the interpreter sends them SIGTERM, and waits."""
    script = LOADING.replace("STOPS", str([*map(int, STOPS), int(signal.SIGINT)]))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "5\n"


def test_threads_leave_handlers_alone():
    before, failures = signal.getsignal(signal.SIGUSR1), []

    def work():
        try:
            with StopRequest(), stops_ignored():
                pass
        except ValueError as error:  # Python allows it in the main thread alone
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures and signal.getsignal(signal.SIGUSR1) == before
