"""Notices are one line for the user; other warnings keep Python's form."""

import pytest

from core.notices import Notice, notify
from share import format_warning


def test_a_notice_is_one_line():
    with pytest.warns(Notice, match="two\nlines"):
        notify("two\nlines")
    assert format_warning(Notice("two\nlines"), Notice, "a.py", 3) == "warning: two lines\n"
    assert "a.py:3: UserWarning: x" in format_warning(UserWarning("x"), UserWarning, "a.py", 3)
