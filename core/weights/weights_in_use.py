"""The weights files that a program has read, and whether somebody wrote into one meanwhile.

Tensors are mapped from their files. What is written into a file in place is what the program
computes with from then on. A file that takes the name of another leaves the other as it was.
"""

from pathlib import Path

from core.files import FileState, state_of

_states: dict[Path, FileState] = {}  # when this process first read them


def note_weights(path: Path) -> None:
    """Remember a file before its tensors are read; nothing where there is no such file."""
    if path.is_file() and (state := state_of(path)):
        _states.setdefault(path.absolute(), state)


def forget_weights() -> None:
    """Forget all files that were noted: another program begins in this process."""
    _states.clear()


def overwritten_weights() -> list[Path]:
    """Files that were written to in place since they were noted."""
    now = {path: state_of(path) for path in _states}
    return [
        path
        for path, before in _states.items()
        if now[path] and now[path] != before and now[path].same_file(before)
    ]
