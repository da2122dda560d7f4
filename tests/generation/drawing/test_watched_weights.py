"""Checksums of weights, taken beside the loading of the model."""

import os
from threading import Event

import pytest

from core.files import sha256_of
from generation.drawing import watched_weights
from generation.drawing.watched_weights import WatchedWeights, checksums


def test_a_shared_file_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"a")
    read = []
    monkeypatch.setattr(
        "core.user_cache.sha256_of", lambda path: read.append(path) or sha256_of(path)
    )
    digests = checksums({"x": tmp_path / "a", "y": tmp_path / "a"})
    assert len(read) == 1 and digests["x"] == digests["y"] == sha256_of(tmp_path / "a")


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """Weights that are being read, and an event without which no checksum is taken."""
    (tmp_path / "a").write_bytes(b"a")
    go, real = Event(), watched_weights.remembered_sha256
    monkeypatch.setattr(
        watched_weights, "remembered_sha256", lambda path: go.wait(60) and real(path)
    )
    weights = WatchedWeights({"x": tmp_path / "a"})
    weights.start_reading()
    return weights, go


def test_checksums_are_taken_beside_other_work(reading, tmp_path):
    weights, go = reading  # it came back, though nothing was read
    go.set()
    assert weights.digests == {"x": sha256_of(tmp_path / "a")}
    weights.require_unchanged()
    os.utime(tmp_path / "a", (1, 1))  # touched afterwards, with the same content
    weights.require_unchanged()


def test_a_change_before_the_checksum_is_found(reading, tmp_path):
    """The model may have been loaded from what was there before; the checksum is that after."""
    weights, go = reading
    (tmp_path / "a").write_bytes(b"other")
    go.set()
    with pytest.raises(RuntimeError, match="a: has changed while it was read"):
        weights.require_unchanged()


def test_an_error_of_reading_is_raised_where_checksums_are_needed(reading, tmp_path):
    weights, go = reading
    (tmp_path / "a").unlink()
    go.set()
    with pytest.raises(FileNotFoundError):
        weights.require_unchanged()
