"""Refusals: errors by which our code turns down files and options, as opposed to its own faults."""

import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ("site-packages", "dist-packages")  # folders of libraries, which may lie below `ROOT`
MARK = "was_a_refusal"  # attribute of errors that travel to another process


def same_kind(error: Exception, message: str) -> Exception:
    """An error of the kind of another, so that callers treat it alike, with another message."""
    try:
        return type(error)(message)
    except TypeError:  # kinds that are made of more than a message, all of them ValueErrors
        return ValueError(message)


def mark_refusal(error: BaseException) -> None:
    """Note in an error, before it leaves its process, whether it is a refusal."""
    setattr(error, MARK, is_refusal(error))


def is_refusal(error: BaseException) -> bool:
    """Tell whether the message of an error was written for users whose input is bad.

    Errors of the operating system name a file. A ValueError or RuntimeError counts where a `raise`
    statement of ours raised it: torch and NumPy raise the same types where code is wrong.
    """
    if isinstance(error, OSError):
        return True
    if not isinstance(error, ValueError | RuntimeError):
        return False
    # An error of a worker process has lost its traceback, but not what it was marked with there.
    if type(error.__cause__).__name__ == "_RemoteTraceback":
        return getattr(error, MARK, False)
    last = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(last.filename).resolve()
    is_ours = path.is_relative_to(ROOT) and not set(INSTALLED) & set(path.parts)
    return is_ours and (last.line or "").startswith("raise ")
