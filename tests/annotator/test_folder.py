"""Maps of a folder: batches, sizes, weights and the record of what drew them."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from annotator import network_detectors as detectors
from annotator.canny import DETECTOR as CANNY
from annotator.canny import CannyOptions
from annotator.folder import (
    batches_of_one_size,
    draw_batch,
    find_all_weights,
    recorded_maps,
    settings_that_draw,
    write_record,
)
from core.files import sha256_of
from core.imaging.images import write_png
from tests.edited import edits


def test_batches_hold_one_size_and_every_file_once():
    sizes = {Path(f"{i}.png"): (64, 96 if i in (1, 4) else 64) for i in range(7)}
    batches = list(batches_of_one_size(sizes, 3))
    assert [len(batch) for batch in batches] == [3, 2, 2]
    assert all(len({sizes[path] for path in batch}) == 1 for batch in batches)
    assert sorted(path for batch in batches for path in batch) == list(sizes)


@pytest.mark.parametrize("interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR])
def test_maps_are_brought_back_to_the_size_of_the_image(tmp_path, interpolation):
    write_png(tmp_path / "a.png", np.zeros((100, 150), np.uint8))
    shapes = []

    def stripes(pictures):
        shapes.extend(picture.shape for picture in pictures)
        return [np.tile(np.array([0, 255], np.uint8), (128, 96))]

    ((path, picture),) = draw_batch([tmp_path / "a.png"], stripes, interpolation, 128)
    assert shapes == [(128, 192, 3)]
    assert path == tmp_path / "a.png" and picture.shape == (100, 150)
    assert (len(np.unique(picture)) > 2) == (interpolation == cv2.INTER_LINEAR)


def test_the_record_is_compared(tmp_path):
    settings = settings_that_draw(CANNY, CannyOptions(), tmp_path / "images", None)
    assert settings == {
        "detector": "canny",
        "input": str(tmp_path / "images"),
        "detect_resolution": None,
        "bit_depth": None,
        "canny_low": 100.0,
        "canny_high": 200.0,
    }
    output = tmp_path / "maps"
    assert recorded_maps(output, settings) is None
    write_record(output, settings, {"a.pth": "12ab"}, {"cell.png": "34cd"})
    saved = recorded_maps(output, settings)
    assert saved.weights == {"a.pth": "12ab"} and saved.images == {"cell.png": "34cd"}
    with pytest.raises(ValueError, match=r"annotate.json: .* another --detect_resolution \(None\)"):
        recorded_maps(output, settings | {"detect_resolution": 512})
    (output / "annotate.json").write_text("{}")
    with pytest.raises(ValueError, match="annotate.json: damaged"):
        recorded_maps(output, settings)


def test_all_weights_are_looked_for_beside_the_main_file(tmp_path):
    options = detectors.OpenposeOptions(openpose_hand=True)
    main, hand = tmp_path / "my_body.pth", tmp_path / detectors.HAND_WEIGHTS.name
    main.write_text("body")
    hand.write_text("hand")
    found = find_all_weights(detectors.OPENPOSE, options, main)
    assert found == {main.name: sha256_of(main), hand.name: sha256_of(hand)}
    assert find_all_weights(CANNY, CannyOptions(), None) == {}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
def test_an_edited_record_means_the_same_or_is_refused(tmp_path, edit):
    drawn_by = settings_that_draw(CANNY, CannyOptions(), tmp_path / "images", None)
    write_record(tmp_path / "maps", drawn_by, {"a.pth": "12ab"}, {"cell.png": "34cd"})
    record = tmp_path / "maps" / "annotate.json"
    record.write_text(json.dumps(edit(json.loads(record.read_text()))))
    try:
        saved = recorded_maps(tmp_path / "maps", drawn_by)
    except ValueError as error:
        assert str(record) in str(error) and "\n" not in str(error)
    else:  # weights are compared by the program
        for files in (saved.weights, saved.images):
            assert all(isinstance(word, str) for pair in files.items() for word in pair)


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless", "empty"])
def test_what_is_no_record_is_one_line(tmp_path, kind):
    record = tmp_path / "annotate.json"
    if kind == "folder":
        record.mkdir()
    elif kind == "pipe":
        os.mkfifo(record)
    elif kind == "endless":
        record.symlink_to("/dev/zero")
    else:
        record.touch()
    with pytest.raises(ValueError, match="annotate.json: "):
        recorded_maps(tmp_path, {})
