"""What a detector says about itself, and the edges of a picture file."""

import pickle
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import tifffile

from annotator import canny, hed, membrane, mlsd
from annotator.detector import EDGES, Detector, edges_of_file
from annotator.network_detectors import (
    BODY_WEIGHTS,
    HAND_WEIGHTS,
    HED,
    MLSD,
    OPENPOSE,
    HEDOptions,
    OpenposeOptions,
)
from core.command_line.options import option
from core.fetching.downloads import WeightsFile
from core.imaging.images import write_png


@dataclass(frozen=True)
class DotOptions:
    dot_grey: int = option(7, int, "INT", "grey level")


def test_weights_and_device_go_to_detectors_that_have_weights():
    calls = []
    plain = Detector("dot", DotOptions, EDGES, lambda *given: calls.append(given))
    with_weights = Detector("dot", DotOptions, EDGES, plain.make, weights=(WeightsFile("dot.pt"),))
    options = DotOptions(9)
    plain.build(options, "folder", "cuda")
    with_weights.build(options, "folder", "cuda")
    assert calls == [(options,), (options, "folder", "cuda")]
    assert plain.option_names == ("dot_grey",)


def test_a_switch_adds_its_weights():
    body, hand = BODY_WEIGHTS, HAND_WEIGHTS
    for switched_on, files in ((False, (body,)), (True, (body, hand))):
        options = OpenposeOptions(openpose_hand=switched_on)
        assert OPENPOSE.weights_files(options) == files
    assert canny.DETECTOR.weights_files(canny.CannyOptions()) == ()


def test_the_help_states_licences():
    assert canny.DETECTOR.title == "canny"
    assert "non-commercial" in OPENPOSE.title


@pytest.fixture
def colour_file(tmp_path):
    """A picture whose outlines are stronger in one channel than in grey, and its file."""
    rows, columns = np.mgrid[:96, :128]
    picture = np.full((96, 128, 3), 100, np.uint8)
    picture[np.hypot(rows - 48, columns - 60) < 30] = (250, 60, 40)
    picture[20:40, 90:94] = 30
    write_png(tmp_path / "colour.png", picture)
    return tmp_path / "colour.png", picture


@pytest.mark.parametrize("thresholds", [(100, 200), (50, 120)])
def test_canny_sees_the_rounded_luma(colour_file, thresholds):
    path, picture = colour_file
    luma = picture.astype(np.float32) / 255 @ np.array([0.299, 0.587, 0.114], np.float32)
    expected = cv2.Canny((luma * 255).round().astype(np.uint8), *thresholds)
    edges = edges_of_file(path, canny.DETECTOR.build(canny.CannyOptions(*thresholds)))
    assert edges.dtype == np.uint8 and np.array_equal(edges, expected) and edges.any()
    assert not np.array_equal(edges, canny.CannyDetector()(picture, *thresholds))


def test_grey_files_of_8_and_16_bits_have_the_same_edges(tmp_path):
    grey = (60 + 120 * (np.mgrid[:64, :64][1] > 30)).astype(np.uint8)
    write_png(tmp_path / "grey.png", grey)
    tifffile.imwrite(tmp_path / "deep.tif", grey.astype(np.uint16) * 257)
    draw = canny.DETECTOR.build(canny.CannyOptions())
    edges = edges_of_file(tmp_path / "grey.png", draw)
    assert np.array_equal(edges, canny.CannyDetector()(grey)) and edges.any()
    assert np.array_equal(edges_of_file(tmp_path / "deep.tif", draw), edges)


def test_membranes_of_a_file(colour_file):
    path, _ = colour_file
    options = membrane.MembraneOptions(2.0, 0.2, 0.4, 5)
    lines = edges_of_file(path, membrane.DETECTOR.build(options))
    assert lines.shape == (96, 128) and set(np.unique(lines)) == {0, 255}
    assert lines[22:38, 91:93].any()  # along the dark bar


@pytest.mark.parametrize("name", ["hed", "mlsd"])
def test_networks_draw_edges_of_a_file(colour_file, monkeypatch, name):
    """The network sees the grey picture as three equal channels."""
    folder, detector = {"hed": (hed, HED), "mlsd": (mlsd, MLSD)}[name]
    shown = []

    def network(x):
        shown.append(x)
        return [x[:, :1]] if name == "hed" else x.new_full((1, 9, 48, 64), -6.0)

    monkeypatch.setattr(folder, "load_network", lambda *_: network)
    draw = detector.build(detector.options(), "weights.pth")
    edges = edges_of_file(colour_file[0], draw)
    assert edges.shape == (96, 128) and edges.dtype == np.uint8
    assert (shown[0][0, 0] == shown[0][0, 2]).all()


def test_scribbles_are_drawn_on_request(colour_file, monkeypatch):
    monkeypatch.setattr(hed, "load_network", lambda *_: lambda x: [x[:, :1] / 16 - 9])
    soft, scribble = (
        edges_of_file(colour_file[0], HED.build(HEDOptions(hed_scribble=switched_on)))
        for switched_on in (False, True)
    )
    assert np.array_equal(scribble, hed.fake_scribble(soft)) and not np.array_equal(scribble, soft)


@pytest.mark.parametrize("detector", [canny.DETECTOR, membrane.DETECTOR])
def test_workers_can_be_handed_the_function(detector):
    draw = detector.build(detector.options())
    picture = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    (expected,) = draw([picture])
    assert np.array_equal(pickle.loads(pickle.dumps(draw))([picture])[0], expected)
