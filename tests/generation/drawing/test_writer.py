"""Jobs in the background: what runs at once, their order, and their errors."""

import threading
from functools import partial

import pytest

from generation.drawing.writer import BackgroundWriter


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    monkeypatch.setattr("generation.drawing.writer.THREADS", 4)


def failing():
    raise OSError("disk full")


def test_what_follows_jobs_keeps_their_order():
    done, later = [], threading.Event()
    with BackgroundWriter() as writer:
        # The first job ends last: it waits for the others, which only threads beside it can do.
        writer.submit(partial(later.wait, 60), lambda _: done.append(0))
        for i in range(1, 200):
            job = later.set if i == 50 else int
            writer.submit(job, lambda _, i=i: done.append(i))
    assert done == list(range(200))


def test_errors_reach_the_caller_and_stop_no_other_job():
    done, submitted = [], threading.Event()
    with pytest.raises(OSError, match="disk full"), BackgroundWriter() as writer:
        writer.submit(lambda: submitted.wait(60) and failing(), done.append)
        writer.submit(lambda: 1, done.append)
        submitted.set()
    assert done == [1]
    with pytest.raises(OSError, match="disk full"), BackgroundWriter() as writer:
        writer.submit(lambda: 1, lambda _: failing())


def test_a_failed_job_ends_the_loop_that_submits():
    submitted = 0
    with pytest.raises(OSError, match="disk full"), BackgroundWriter() as writer:
        writer.submit(failing, print)
        for submitted in range(10**6):  # noqa: B007
            writer.submit(lambda: None, lambda _: None)
    assert submitted < 10**6 - 1


def test_interruption_still_writes_what_was_computed():
    done = []
    with pytest.raises(KeyboardInterrupt), BackgroundWriter() as writer:
        for i in range(20):
            writer.submit(lambda i=i: i, done.append)
        raise KeyboardInterrupt
    assert done == list(range(20))
