"""The documentation's picture of the detectors: what each tile shows is known."""

import numpy as np

from annotator.canny import CannyDetector
from annotator.mlsd import decode_lines
from annotator.synthetic_maps import line_maps
from annotator.uniformer import read_palette
from microscope.phantoms import draw_phantom
from utils.draw_detectors import HOUSE, PERSON, SIZE, draw, draw_ball, draw_house, draw_person

GAP = 2  # pixels between tiles


def test_synthetic_lines_are_decoded():
    found = decode_lines(line_maps(HOUSE, SIZE, SIZE), 0.1, 0.1)
    assert sorted(map(tuple, found.tolist())) == sorted(HOUSE)


def test_a_house_is_drawn_along_its_lines():
    house = draw_house()
    for x1, y1, x2, y2 in HOUSE:
        x, y = (x1 + x2) // 2, (y1 + y2) // 2
        assert house[y - 1 : y + 2, x - 1 : x + 2].any()
    assert not house[:40].any() and not house[130:200, 80:180].any()  # sky and wall are empty


def test_a_ball_is_nearest_in_its_middle():
    depth, normal = draw_ball()
    assert depth[128, 128] == 255 and depth[0, 0] == 0
    assert tuple(normal[128, 128]) == tuple(normal[0, 0]) == (127, 127, 255)  # towards the viewer
    # Inverse depth rises towards the middle: x of the normal is positive on the left.
    assert normal[128, 100, 0] > 127 > normal[128, 156, 0]


def test_a_person_has_a_dot_at_every_joint():
    person = draw_person()
    assert all(person[y, x].any() for x, y in PERSON)
    assert not person[:, :60].any()


def test_every_tile_is_where_the_docstring_says():
    picture = draw()

    def shown(row, column):
        return picture[row * (SIZE + GAP) + GAP :, column * (SIZE + GAP) + GAP :][:SIZE, :SIZE]

    image, mask = draw_phantom(0, "train", 2, SIZE)
    depth, normal = draw_ball()
    assert (shown(0, 0) == image[..., None]).all()
    assert (shown(0, 1) == CannyDetector()(image)[..., None]).all()
    assert 0 < (shown(0, 2) == 255).mean() < 0.2  # membranes are thin lines
    for column, expected in enumerate(
        [draw_house()[..., None], depth[..., None], normal, draw_person(), read_palette()[1][mask]]
    ):
        assert (shown(1, column) == expected).all(), column
    assert len(np.unique(shown(1, 4).reshape(-1, 3), axis=0)) == 3  # the classes of the mask
