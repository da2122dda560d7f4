"""Where a volume lies in an array."""

import pytest

from core.command_line.options import OptionError
from volumes.axes import place_axes


def place(axes, shape, **at):
    return place_axes(axes, shape, at, "a.tif")


def test_a_few_channels_are_no_slices():
    for axes, shape in (("cyx", (3, 8, 9)), ("yxc", (8, 9, 2)), ("tcyx", (1, 4, 8, 9))):
        with pytest.raises(OptionError, match="at: a.tif has further axes .c: .* such as c=0. If"):
            place(axes, shape)
        assert place(axes, shape, c=1).shape == (1, 8, 9)


def test_slices_that_a_program_calls_channels_or_frames():
    assert place("cyx", (5, 8, 9)).shape == (5, 8, 9)  # tifffile calls slices of ImageJ so
    assert place("tcyx", (3, 1, 8, 9)).shape == (3, 8, 9)
    assert place("cyx", (1, 8, 9)).shape == (1, 8, 9)
    assert place("tzyxc", (6, 1, 8, 9, 1)).shape == (6, 8, 9)  # ilastik
    assert place("tzyx", (6, 1, 8, 9), t=2).shape == (1, 8, 9)


def test_colours_without_named_axes_are_no_rows():
    assert place("zyx", (8, 9, 3)).shape == (8, 9, 3)  # too few rows for a picture
    for axes, shape in (("zyx", (8, 90, 3)), ("czyx", (5, 8, 90, 1))):
        with pytest.raises(ValueError, match=r"a.tif: axes .* so x looks like channels. Store"):
            place(axes, shape)
