"""How scripts end."""

import os

import pytest
import torch
from tqdm import tqdm

import share
from core import notices
from core.command_line.options import OptionError


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (ValueError("a.png:\n  too small"), "train.py: error: a.png: too small", 2),
        (OptionError("level", "excludes `kind`"), "train.py: error: --level: excludes --kind", 2),
        (OSError(28, "No space left on device", "a.ckpt"), "train.py: error: [Errno 28] No", 2),
        (MemoryError(), "train.py: error: not enough memory", 1),
        (torch.OutOfMemoryError("CUDA"), "train.py: error: not enough memory", 1),
        (KeyError("size"), "train.py: error: unexpected KeyError: 'size' (run again with", 1),
    ],
)
def test_every_error_is_one_line(error, line, code, capsys, monkeypatch):
    def main():
        raise error

    monkeypatch.setattr("sys.argv", ["somewhere/train.py"])
    monkeypatch.delenv("DEBUG", raising=False)
    with pytest.raises(SystemExit) as end:
        share.run_script(main)
    shown = capsys.readouterr().err
    assert end.value.code == code and shown.startswith(line) and shown.count("\n") == 1
    monkeypatch.setenv("DEBUG", "1")
    with pytest.raises(ValueError if isinstance(error, OptionError) else type(error)):
        share.run_script(main)


def test_a_fault_is_not_shown_as_bad_input(capsys, monkeypatch):
    """torch raises the type with which we refuse files that contradict each other."""
    monkeypatch.delenv("DEBUG", raising=False)
    with pytest.raises(SystemExit) as end:
        share.run_script(lambda: torch.zeros(2) @ torch.zeros(3))
    shown = capsys.readouterr().err
    assert end.value.code == 1 and "unexpected RuntimeError: " in shown and "DEBUG=1" in shown


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_wants_otherwise(monkeypatch, given, found):
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    seen = []
    share.run_script(lambda: seen.append(os.environ["OMP_WAIT_POLICY"]))
    assert seen == [found]


@pytest.mark.parametrize(("rank", "shown"), [("0", "5 images\n"), ("1", "")])
def test_reports_are_shown_by_programs_and_by_the_first_of_their_processes(
    monkeypatch, capsys, rank, shown
):
    monkeypatch.setattr(notices.REPORTS, "handlers", [])
    notices.report("5 images")
    monkeypatch.setenv("LOCAL_RANK", rank)
    share.run_script(lambda: notices.report("5 images"))
    assert capsys.readouterr().out == shown


def test_an_error_stands_on_a_line_of_its_own_behind_an_open_bar(capsys):
    bars = []  # kept, as the frames of an error keep theirs

    def main():
        bars.append(tqdm(range(3), desc="work"))
        raise ValueError("no good")

    with pytest.raises(SystemExit):
        share.run_script(main)
    written = capsys.readouterr().err.replace("\r", "\n").splitlines()
    bars.pop().close()
    assert any(line.endswith("error: no good") and "work" not in line for line in written)
