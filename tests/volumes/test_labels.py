"""Labels as classes."""

import numpy as np
import pytest

from core.command_line.options import OptionError
from volumes.labels import LabelOptions, borders

GREY = np.array([[0, 127], [255, 127]])


def test_maps():
    options = LabelOptions(map=("0=0", "127=1", "255=2"))
    for dtype in (np.uint8, np.uint64, np.float32):
        classes = options.classes(GREY.astype(dtype), "slice")
        assert classes.dtype == np.uint8 and classes.tolist() == [[0, 1], [2, 1]]
    with pytest.raises(ValueError, match="slice 4: found label 9, expected 0, 127, 255. Add 9=CLA"):
        options.classes(np.array([[9]]), "slice 4")
    with pytest.raises(ValueError, match="label 9007199254740993, .* Add 9007199254740993=CLASS"):
        options.classes(np.array([[2**53 + 1]], np.uint64), "slice")
    assert LabelOptions(map=("-1=0", "3=1")).classes(np.array([[-1, 3]]), "").tolist() == [[0, 1]]


def test_classes_as_stored():
    stored = np.array([[0, 31, 255]])
    assert LabelOptions().classes(stored, "slice").tolist() == stored.tolist()
    for wrong, message in (
        ([[32]], "label 32.*Map grey.*instances"),
        ([[0.5]], "holds 0.5"),
        ([[np.inf]], "holds inf"),
        ([[-2.0]], "label -2, "),
    ):
        with pytest.raises(ValueError, match=message):
            LabelOptions().classes(np.array(wrong), "slice")


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_border_is_as_wide_as_asked(width):
    bodies = np.zeros((12, 20), int)
    bodies[:, 10:] = 7
    drawn = borders(bodies, width)
    assert drawn.sum(axis=1).tolist() == [width] * 12
    columns = np.flatnonzero(drawn[0])
    assert columns[0] == 10 - width // 2  # as many pixels on both sides, the odd one right
    assert (borders(bodies.T, width) == drawn.T).all()


def test_membranes_of_large_numbers_and_of_zero():
    bodies = np.full((6, 8), 2**63, np.uint64)
    bodies[:, 4:] = 2**63 + 1  # float64 cannot tell them apart
    classes = LabelOptions(instances=2).classes(bodies, "slice")
    assert classes[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    bodies[:2] = 0
    body = LabelOptions(instances=1).classes(bodies, "slice")
    membrane = LabelOptions(instances=1, zero_is="membrane").classes(bodies, "slice")
    assert body[0, 0] == 0 and membrane[:2].all() and (membrane[3:] == body[3:]).all()


@pytest.mark.parametrize(
    "options",
    [
        LabelOptions(map=("1=1",), instances=2),
        LabelOptions(map=("1=1", "1=2")),
        LabelOptions(zero_is="membrane"),
    ],
)
def test_options_that_are_refused(options):
    with pytest.raises(OptionError):
        options.check()
