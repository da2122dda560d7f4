import os
import signal
import threading

import pytest

from core.signals import STOPS, StopRequest, kept_handlers, set_handlers, stops_ignored


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


def test_a_handler_of_other_code_leaves_the_default_behind(monkeypatch):
    """`signal.getsignal` gives None for one that was not installed from Python."""
    number = signal.SIGUSR2
    with kept_handlers((number,)):
        with monkeypatch.context() as patch:
            patch.setattr(signal, "getsignal", lambda number: None)
            block = kept_handlers((number,))
            block.__enter__()
        set_handlers({number: signal.SIG_IGN})
        block.__exit__(None, None, None)
        assert signal.getsignal(number) == signal.SIG_DFL


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
