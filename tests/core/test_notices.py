"""Notices are one line for the user; other warnings keep Python's form."""

import warnings

import pytest
from lightning_fabric.utilities import warnings as lightning_warnings

from core.notices import Notice, notify
from share import format_warning


def test_a_notice_looks_the_same_when_lightning_calls(monkeypatch):
    monkeypatch.setattr("warnings.formatwarning", lightning_warnings._custom_format_warning)
    code = "def log(): notify('bad key')\nlog()"
    with pytest.warns(Notice) as caught:
        exec(compile(code, lightning_warnings.__file__, "exec"), {"notify": notify})
    (notice,) = caught
    shown = warnings.formatwarning(notice.message, Notice, notice.filename, notice.lineno)
    assert not shown.startswith(lightning_warnings.__file__)


def test_a_notice_is_one_line():
    with pytest.warns(Notice, match="two\nlines"):
        notify("two\nlines")
    assert format_warning(Notice("two\nlines"), Notice, "a.py", 3) == "warning: two lines\n"
    assert "a.py:3: UserWarning: x" in format_warning(UserWarning("x"), UserWarning, "a.py", 3)
