import os
import signal

from core.signals import StopRequest, requeue_at_once, requeue_ignored


def test_a_request_is_noted_and_handlers_come_back():
    before = [signal.getsignal(number) for number in StopRequest.SIGNALS]
    for number in StopRequest.SIGNALS:
        with StopRequest() as stop:
            assert not stop and stop.received == 0
            os.kill(os.getpid(), number)
            assert stop and stop.received == number
    assert [signal.getsignal(number) for number in StopRequest.SIGNALS] == before


def test_a_signal_is_ignored_where_a_requeue_would_harm():
    before = signal.getsignal(signal.SIGUSR1)
    with requeue_at_once(), requeue_ignored():
        os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) == before
