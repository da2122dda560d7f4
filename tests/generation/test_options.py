"""Options of a generation that need each other."""

from pathlib import Path

import pytest

from core.command_line.options import OptionError
from generation.options import GateOptions


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"gate_segmenter": Path("s")}, "gate_segmenter: decides nothing"),
        ({"min_agreement": 0.5}, "min_agreement: needs --gate_segmenter"),
        ({"ignore_ratio": 1.25}, "ignore_ratio: needs --gate_segmenter"),
        (
            {"gate_segmenter": Path("s"), "ignore_ratio": 1.25},
            "ignore_ratio: needs --gate_pairs",
        ),
        (
            {"gate_segmenter": Path("s"), "min_agreement": 0.5, "gate_pairs": [Path("a")] * 2},
            "gate_pairs: needs --ignore_ratio",
        ),
        ({"resample": True}, "resample: needs --gate_segmenter"),
        ({"resample": True, "gate_segmenter": Path("s")}, "resample: needs --gate_pairs"),
    ],
)
def test_options_of_the_gate_that_lack_each_other(fields, message):
    with pytest.raises(OptionError, match=message):
        GateOptions(**fields).check()
