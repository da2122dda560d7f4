"""The detectors that there are, and the options that they add to a script."""

import pytest

from annotator.registry import DETECTORS, edge_detectors, idle_options
from core.command_line.options import add_options, new_parser, read_options

PUBLISHED = {
    "canny_low": 100.0, "canny_high": 200.0,
    "membrane_scale": 4.0, "membrane_low": 0.35, "membrane_high": 0.7, "membrane_min_length": 30,
    "hed_scribble": False,
    "mlsd_thr_v": 0.1, "mlsd_thr_d": 0.1,
    "midas_output": "depth", "midas_a": 6.2, "midas_bg_th": 0.4,
    "openpose_hand": False,
    "uniformer_swap_channels": True,
}  # fmt: skip


@pytest.fixture
def parse():
    """Function from a command line to all options of all detectors."""
    parser = new_parser("A script.")
    for detector in DETECTORS.values():
        add_options(parser, detector.options, detector.title)
    return lambda *words: parser.parse_args(words)


def test_names_and_defaults_of_options_are_the_published_ones(parse):
    assert vars(parse()) == PUBLISHED


def test_options_begin_with_the_name_of_their_detector():
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert all(option.startswith(f"{name}_") for option in detector.option_names)


def test_detectors_that_draw_edges():
    assert set(edge_detectors()) == {"canny", "membrane", "hed", "mlsd"}


def test_options_of_another_detector_are_idle(parse):
    values = vars(parse("--canny_low", "50", "--hed_scribble", "--midas_a", "6.2"))
    assert idle_options(DETECTORS["canny"], values) == ["hed_scribble"]
    assert idle_options(DETECTORS["hed"], values) == ["canny_low"]
    assert idle_options(DETECTORS["hed"], {"output": "x"}) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("canny", "--canny_low: 300 is above the high threshold, 200"),
        ("membrane", "--membrane_low: 0.8 is above the high threshold, 0.7"),
    ],
)
def test_thresholds_in_the_wrong_order_are_refused(parse, name, message):
    args = parse("--canny_low", "300", "--membrane_low", "0.8")
    with pytest.raises(ValueError, match=message):
        read_options(DETECTORS[name].options, args)
