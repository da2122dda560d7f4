"""M-LSD around its network: planted lines come back, thresholds hold, no line is no error."""

import numpy as np
import pytest
import torch

import annotator.mlsd
from annotator.mlsd import MLSDdetector, decode_lines, draw_lines
from annotator.synthetic_maps import line_maps

HEIGHT, WIDTH = 96, 160
LINES = np.array([[4, 6, 150, 40], [20, 90, 140, 60], [30, 10, 30, 80], [100, 20, 60, 20.0]])


def in_order(lines):
    return lines[np.lexsort(lines.T)]


@pytest.fixture
def detector(monkeypatch):
    """A detector without weights; `network` is to be set."""
    monkeypatch.setattr(annotator.mlsd, "load_network", lambda *args: None)
    return MLSDdetector()


def test_planted_lines_are_decoded():
    found = decode_lines(line_maps(LINES, HEIGHT, WIDTH), 0.1, 0.1)
    assert found.shape == LINES.shape
    assert np.abs(in_order(found) - in_order(LINES)).max() < 1  # pixels


def test_planted_lines_are_drawn(detector):
    detector.network = lambda x: line_maps(LINES, HEIGHT, WIDTH)[None]
    picture = detector(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert picture.dtype == np.uint8 and picture.shape == (HEIGHT, WIDTH)
    assert set(np.unique(picture)) == {0, 255}
    rows, columns = np.nonzero(picture)
    start, end = LINES[:, None, :2], LINES[:, None, 2:]
    along = (end - start) / np.linalg.norm(end - start, axis=2, keepdims=True)
    offset = np.stack([columns, rows], axis=1) - start
    distance = np.abs(along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0])
    assert distance.min(axis=0).max() < 1.5  # every white pixel is on a line
    for x1, y1, x2, y2 in LINES.astype(int):
        assert picture[y1, x1] and picture[y2, x2]


def test_thresholds_on_probability_and_length():
    maps = line_maps(LINES[:1], HEIGHT, WIDTH)
    length = np.hypot(146, 34) / 2  # pixels of the map
    probability = 1 / (1 + np.exp(-6))
    assert len(decode_lines(maps, probability - 0.001, length - 0.1)) == 1
    assert len(decode_lines(maps, probability + 0.001, 0.1)) == 0
    assert len(decode_lines(maps, 0.1, length + 0.1)) == 0


def test_of_neighbouring_centres_the_highest_counts():
    maps = line_maps(LINES[2:3], HEIGHT, WIDTH)
    y, x = divmod(int(maps[0].argmax()), WIDTH // 2)
    maps[0, y - 1 : y + 2, x - 1 : x + 2] = 3.0
    maps[0, y, x] = 4.0
    assert len(decode_lines(maps, 0.5, 0.1)) == 1


def test_at_most_200_lines_the_best_first():
    maps = torch.zeros(9, 64, 64)
    maps[0] = -6
    maps[0, ::3, ::3] = torch.linspace(1, 2, 22 * 22).view(22, 22)
    maps[3] = 5  # every end lies five pixels to the right
    found = decode_lines(maps, 0.1, 0.1)
    assert found.shape == (200, 4)
    assert found[0].tolist() == [126, 126, 136, 126] and (np.diff(found[:, 1]) <= 0).all()


def test_ends_are_truncated_and_may_lie_outside():
    canvas = draw_lines(np.array([[1.9, 2.9, 30, 2.9], [-0.9, 0, -0.9, 4]]), 6, 8)
    assert canvas[2].tolist() == [255] + [255] * 7
    assert canvas[1].tolist() == [255] + [0] * 7 and not canvas[5].any()


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (400, 3), (31, 31)])
def test_no_line_is_a_black_picture_of_any_size(detector, size):
    def network(x):
        assert x.shape[1] == 4 and x.shape[2] % 16 == x.shape[3] % 16 == 0
        assert (x[:, 3] == 1 / 127.5 - 1).all()
        return torch.full((len(x), 9, x.shape[2] // 2, x.shape[3] // 2), -6.0)

    detector.network = network
    for shape in (size, (*size, 3), (*size, 4)):
        picture = np.zeros(shape, np.uint8)
        assert detector(picture).shape == size and not detector(picture).any()


def test_a_failing_network_is_an_error_not_a_black_picture(detector):
    def network(x):
        raise RuntimeError("out of memory")

    detector.network = network
    with pytest.raises(RuntimeError, match="out of memory"):
        detector(np.zeros((32, 32, 3), np.uint8))
