"""Published arguments: those that ask for nothing pass, others are refused by name."""

import pytest

from cldm.unsupported import check_unsupported

KNOWN = {"corrector": None, "dropout": 0.0}


def test_values_that_ask_for_nothing_pass():
    check_unsupported({}, KNOWN, "sample")
    check_unsupported({"corrector": None, "dropout": 0}, KNOWN, "sample")


def test_a_value_that_asks_for_something_is_refused():
    with pytest.raises(ValueError, match="sample: dropout is not supported, expected 0.0"):
        check_unsupported({"dropout": 0.5}, KNOWN, "sample")


def test_a_misspelt_argument_is_refused():
    with pytest.raises(TypeError, match="sample has no argument droput"):
        check_unsupported({"droput": 0.0}, KNOWN, "sample")
