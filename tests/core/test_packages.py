"""Packages that may be missing."""

import pytest

from core.packages import optional_package


def test_a_missing_package_is_named_with_its_list():
    assert optional_package("json", "writing JSON", "req.txt").dumps(1) == "1"
    with pytest.raises(
        RuntimeError, match="reading X needs the package no_such_one. .*-r req-x.txt"
    ):
        optional_package("no_such_one.writer", "reading X", "req-x.txt")
