"""Checksums are remembered while a file stays as it is, and only then."""

import hashlib
import os

import pytest

from core import user_cache


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that counts as large and finished, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(user_cache, "SMALLEST", 1)
    monkeypatch.setattr(user_cache, "SETTLED", -1.0)
    (tmp_path / "weights").write_bytes(b"first")
    return tmp_path / "weights"


@pytest.fixture
def reads(monkeypatch):
    """Files that were read, as a list that grows."""
    found, read = [], user_cache.sha256_of
    monkeypatch.setattr(user_cache, "sha256_of", lambda path: found.append(path) or read(path))
    return found


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once(file, reads):
    assert {user_cache.remembered_sha256(file) for _ in range(3)} == {sha256(b"first")}
    assert reads == [file]


def test_new_content_counts_even_where_its_time_is_set_back(file, reads):
    user_cache.remembered_sha256(file)
    stat = file.stat()
    file.write_bytes(b"other")  # of the same size
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert user_cache.remembered_sha256(file) == sha256(b"other") and len(reads) == 2


def test_another_file_of_the_same_name_is_read(file, reads, tmp_path):
    user_cache.remembered_sha256(file)
    (tmp_path / "new").write_bytes(b"third")
    (tmp_path / "new").replace(file)
    assert user_cache.remembered_sha256(file) == sha256(b"third")


@pytest.mark.parametrize(("name", "value"), [("SETTLED", 3600.0), ("SMALLEST", 6)])
def test_fresh_and_small_files_are_read_each_time(file, reads, monkeypatch, tmp_path, name, value):
    monkeypatch.setattr(user_cache, name, value)
    assert {user_cache.remembered_sha256(file) for _ in range(2)} == {sha256(b"first")}
    assert len(reads) == 2 and not (tmp_path / "cache").exists()


def test_a_damaged_or_missing_cache_costs_time_alone(file, reads, tmp_path):
    user_cache.remembered_sha256(file)
    (entry,) = user_cache.user_cache("sha256").iterdir()
    entry.write_text("half")
    assert user_cache.remembered_sha256(file) == sha256(b"first") and len(reads) == 2
    entry.unlink()
    entry.parent.rmdir()
    entry.parent.touch()  # a file in the place of the folder
    assert user_cache.remembered_sha256(file) == sha256(b"first") and len(reads) == 3
