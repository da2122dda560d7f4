"""Checks of many files: when a bar is shown, and how several problems become one error."""

import pytest

from core.checks import BAR_FROM, bar_for_many, raise_first
from core.command_line.options import OptionError


@pytest.mark.parametrize("count", [BAR_FROM, BAR_FROM + 1])
def test_only_many_items_get_a_bar(count, capsys):
    assert list(bar_for_many(range(count))) == list(range(count))
    assert ("checking files" in capsys.readouterr().err) == (count > BAR_FROM)
    # An iterator has no length; its number of items is given.
    assert list(bar_for_many(iter("ab"), count, "checking letters")) == ["a", "b"]
    assert ("checking letters" in capsys.readouterr().err) == (count > BAR_FROM)


def test_the_first_problem_is_raised_with_the_number_of_others():
    raise_first([])
    with pytest.raises(ValueError, match="^first$"):
        raise_first([ValueError("first")])
    with pytest.raises(RuntimeError, match=r"^first \(and 2 more\)$") as caught:
        raise_first([RuntimeError("first"), ValueError("second"), OSError("third")])
    assert str(caught.value.__cause__) == "first"
    # Some kinds are not made of a message alone.
    for problem in (OptionError("size", "is odd"), UnicodeDecodeError("utf-8", b"", 0, 1, "bad")):
        with pytest.raises(ValueError, match=r"\(and 1 more\)$"):
            raise_first([problem, problem])
