import numpy as np

from annotator.mlsd import decode_lines
from annotator.planted import line_maps
from utils.draw_detectors import HOUSE, SIZE, draw


def test_planted_lines_are_decoded():
    found = decode_lines(line_maps(HOUSE, SIZE, SIZE), 0.1, 0.1)
    assert sorted(map(tuple, found.tolist())) == sorted(HOUSE)


def test_every_detector_has_its_tile():
    picture = draw()
    assert picture.shape[0] > 2 * SIZE and picture.shape[1] > 5 * SIZE
    for row, columns in ((0, 3), (1, 5)):
        for column in range(columns):
            tile = picture[row * (SIZE + 2) + 2 :, column * (SIZE + 2) + 2 :][:SIZE, :SIZE]
            assert len(np.unique(tile)) > 1
