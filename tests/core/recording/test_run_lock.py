"""The lock on the folder of a run."""

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from core.recording import run_lock
from core.recording.run_lock import LOCK, RunLock


def test_a_second_process_is_told_who_works_there(tmp_path):
    first, second = RunLock(tmp_path, "training"), RunLock(tmp_path, "training")
    first.acquire()
    first.acquire()  # changes nothing
    who = f"process {os.getpid()} on {socket.gethostname()}, since 20.*, is training here"
    with pytest.raises(RuntimeError, match=f"{tmp_path}: {who}. Wait"):
        second.acquire()
    first.close()
    second.acquire()
    second.close()


def test_files_of_one_folder_have_locks_of_their_own(tmp_path):
    path = tmp_path / "base.ckpt"
    first, second = (RunLock.of_file(path, "training") for _ in range(2))
    other, folder = RunLock.of_file(tmp_path / "other.ckpt", "training"), RunLock(tmp_path, "work")
    for lock in (first, other, folder):
        lock.acquire()
    with pytest.raises(RuntimeError, match=f"{path}: process {os.getpid()} on .* is training here"):
        second.acquire()
    for lock in (first, other, folder):
        lock.close()
    assert not path.exists()


def test_a_killed_process_leaves_no_lock(tmp_path):
    hold = (
        "import pathlib, time; from core.recording.run_lock import RunLock; "
        f"lock = RunLock(pathlib.Path({str(tmp_path)!r}), 'training'); lock.acquire(); "
        "print('held', flush=True); time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    lock = RunLock(tmp_path, "training")
    with pytest.raises(RuntimeError, match=f"process {process.pid} on"):
        lock.acquire()
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock.acquire()
    lock.close()


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", refuse)


def test_without_locks_the_name_of_the_holder_stands_in_for_one(tmp_path, no_locks):
    first, second = RunLock(tmp_path, "training"), RunLock(tmp_path, "training")
    first.acquire()
    with pytest.raises(RuntimeError, match=f"process {os.getpid()} .*delete {tmp_path / LOCK}"):
        second.acquire()
    first.close()
    second.acquire()


def test_without_locks_the_name_of_a_process_that_ended_is_stale(tmp_path, no_locks):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / LOCK).write_text(f"{socket.gethostname()} {ended.pid} 2026-01-01 00:00:00+00:00\n")
    RunLock(tmp_path, "training").acquire()
    (tmp_path / LOCK).write_text(f"elsewhere {ended.pid} 2026-01-01 00:00:00+00:00\n")
    with pytest.raises(RuntimeError, match=f"process {ended.pid} on elsewhere, since 2026-01-01"):
        RunLock(tmp_path, "training").acquire()
