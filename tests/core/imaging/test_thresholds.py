"""Pairs of thresholds: the order is checked, and equal ones are allowed."""

import pytest

from core.command_line.options import OptionError
from core.imaging.thresholds import CANNY_HIGH, CANNY_LOW, check_thresholds


def test_only_the_wrong_order_is_refused():
    check_thresholds("canny_low", CANNY_LOW, CANNY_HIGH)
    check_thresholds("canny_low", 7, 7)
    with pytest.raises(OptionError, match="7.5 is above the high threshold, 7$") as caught:
        check_thresholds("canny_low", 7.5, 7)
    assert caught.value.field == "canny_low"
