import os
import signal

from core.signals import StopRequest


def test_a_request_is_noted_and_handlers_come_back():
    before = [signal.getsignal(number) for number in StopRequest.SIGNALS]
    for number in StopRequest.SIGNALS:
        with StopRequest() as stop:
            assert not stop and stop.received == 0
            os.kill(os.getpid(), number)
            assert stop and stop.received == number
    assert [signal.getsignal(number) for number in StopRequest.SIGNALS] == before
