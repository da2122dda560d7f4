"""Shares of CPU time, by clocks that are known."""

from core.hardware import measuring


def test_the_fastest_calls_count(monkeypatch):
    clock, calls = iter([0, 9, 0, 50, 0, 3, 0, 8, 0, 2, 0, 4, 0, 5, 0, 9]), []
    monkeypatch.setattr(measuring.time, "process_time", lambda: next(clock))
    share = measuring.share_of_time(lambda: calls.append("way"), lambda: calls.append("usual"))
    assert share == 2 / 4
    assert calls == ["way", "usual"] * measuring.ROUNDS
