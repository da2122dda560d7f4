"""A lock on the folder of a run, or on a file, so that one process at a time works on it."""

import fcntl
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import TextIO

LOCK = ".lock"  # file in the folder; it stays, because removing it would let two in


class RunLock:
    """Held by one process from `acquire` to `close`, or to the end of the process.

    The system releases the lock when the process ends, by SIGKILL too, so no lock goes stale. It
    reaches other machines where the file system has locks for that, as NFS has. Where there are no
    locks at all, the name of the last holder stands in for one.

    Args:
        folder: of the run.
        work: what is done there, for messages, such as "training".
    """

    def __init__(self, folder: Path, work: str):
        self.place, self.path, self.work = folder, folder / LOCK, work
        self.file: TextIO | None = None

    @classmethod
    def of_file(cls, path: Path, work: str) -> "RunLock":
        """A lock on a file that is to be written; its folder must be there."""
        lock = cls(path.parent, work)
        lock.place, lock.path = path, path.with_name(f".{path.name}{LOCK}")
        return lock

    def acquire(self) -> None:
        """Take the lock; a second call does nothing.

        Raises:
            RuntimeError: another process works there. The message says which, and since when.
        """
        if self.file:
            return
        file = open(self.path, "a+")  # kept open: closing it would release the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(self._refusal(_holder(file))) from error
        except OSError as error:  # a file system without locks
            holder = _holder(file)
            if holder and not _has_ended(holder):
                remedy = f"If that process has ended, delete {self.path}."
                raise RuntimeError(f"{self._refusal(holder)} {remedy}") from error
        file.seek(0)
        file.truncate()
        started = datetime.now().astimezone().isoformat(" ", timespec="seconds")
        file.write(f"{socket.gethostname()} {os.getpid()} {started}\n")
        file.flush()
        self.file = file

    def close(self) -> None:
        """Give the lock back, if it is held."""
        if self.file:
            self.file.truncate(0)  # nobody holds it: a file system without locks must know
            self.file.close()
            self.file = None

    def _refusal(self, holder: list[str]) -> str:
        who = "another process"
        if len(holder) == 3:
            host, process, since = holder
            who = f"process {process} on {host}, since {since},"
        return f"{self.place}: {who} is {self.work} here. Wait until it ends, or stop it."


def _holder(file: TextIO) -> list[str]:
    """Host, process and time of the last holder; empty where it gave the lock back."""
    file.seek(0)
    return file.read().strip().split(maxsplit=2)


def _has_ended(holder: list[str]) -> bool:
    """Tell whether a process of this machine is known to be gone."""
    if len(holder) != 3 or holder[0] != socket.gethostname() or not holder[1].isdecimal():
        return False
    try:
        os.kill(int(holder[1]), 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, under another user
    return False
