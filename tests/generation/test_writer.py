"""Jobs in the background: their order, and their errors."""

import pytest

from generation.writer import BackgroundWriter


def test_writer_keeps_order_and_raises_what_went_wrong():
    done = []
    with BackgroundWriter() as writer:
        for i in range(200):
            writer.submit(done.append, i)
    assert done == list(range(200))
    with pytest.raises(OSError, match="disk full"), BackgroundWriter() as writer:
        writer.submit(lambda: (_ for _ in ()).throw(OSError("disk full")))


def test_interruption_still_writes_what_was_computed():
    done = []
    with pytest.raises(KeyboardInterrupt), BackgroundWriter() as writer:
        for i in range(20):
            writer.submit(done.append, i)
        raise KeyboardInterrupt
    assert done == list(range(20))
