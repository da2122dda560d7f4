import numpy as np

from core.imaging.pictures import (
    COLOURS,
    GAP,
    LINE,
    centre,
    class_colours,
    evenly,
    scale_longer_side,
    tile,
    write_line,
)


def grey(level, height=4, width=6):
    return np.full((height, width, 3), level, np.float32)


def test_classes_have_different_colours_which_repeat():
    colours = class_colours(np.arange(9))
    assert colours.shape == (9, 3) and len(np.unique(colours[:8], axis=0)) == 8
    assert np.array_equal(colours[8], COLOURS[0]) and (colours[0] == 0).all()


def test_ignored_pixels_are_white():
    colours = class_colours(np.array([[7, 255]], np.uint8))
    assert colours.dtype == np.float32 and colours.shape == (1, 2, 3)
    assert (colours[0, 0] == COLOURS[7]).all() and (colours[0, 1] == 1).all()


def test_the_first_and_the_last_are_among_evenly_spread_items():
    assert evenly("abcde", 3) == ["a", "c", "e"]
    assert evenly("abcde", 1) == ["a"]
    assert evenly("ab", 9) == ["a", "b"] and evenly("", 3) == []


def test_the_longer_side_is_fitted():
    assert scale_longer_side(grey(0.5, 50, 100), 40).shape == (20, 40, 3)
    assert scale_longer_side(grey(0.5, 1000, 1), 40).shape == (40, 1, 3)
    assert np.allclose(scale_longer_side(grey(0.5), 30), 0.5, atol=1 / 255)


def test_tiles_stand_on_white():
    sheet = tile([[grey(0), grey(0.2)], [grey(1, 2, 3)]])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (GAP + 2 * (4 + GAP), GAP + 2 * (6 + GAP), 3)
    assert (sheet[GAP : GAP + 4, GAP : GAP + 6] == 0).all()
    assert (sheet[GAP : GAP + 4, 2 * GAP + 6 : -GAP] == 51).all()
    sheet[GAP : GAP + 4, GAP:-GAP] = 255
    assert (sheet == 255).all()  # nothing else was drawn


def test_titles_and_heads_get_a_line_each():
    plain = tile([[grey(0, 40, 60)]])
    titled = tile([[grey(0, 40, 60)]], heads=["mask"], titles=["cell_0"])
    assert titled.shape == (plain.shape[0] + 2 * LINE, plain.shape[1], 3)
    assert titled[:LINE].min() < 128  # letters


def test_words_that_are_too_long_lose_their_middle():
    short, long = write_line("cell", 80), write_line("cell " * 40, 80)
    assert short.shape == long.shape == (LINE, 80, 3)
    assert np.array_equal(long, write_line("cell " * 80, 80))  # both ends are equal
    assert not np.array_equal(short, long)


def test_tiles_with_heads_and_titles():
    black = np.zeros((10, 60, 3), np.float32)
    sheet = tile(
        [[black, black], [black]],
        heads=["mask", "a very long name of a column"],
        titles=["first", "second"],
    )
    assert sheet.shape == (LINE + GAP + 2 * (LINE + 10 + GAP), GAP + 2 * (60 + GAP), 3)
    assert (sheet[LINE + GAP + LINE :][:10, GAP : GAP + 60] == 0).all() and (
        sheet[-12:, 70:] == 255
    ).all()
    assert (
        sheet[:LINE, GAP : GAP + 60].min() < 128 and sheet[LINE + GAP : 2 * LINE, GAP:].min() < 128
    )


def test_fit_keeps_proportions():
    assert scale_longer_side(np.ones((50, 100, 3), np.float32), 40).shape == (20, 40, 3)
    assert scale_longer_side(np.ones((1, 1000, 3), np.float32), 40).shape == (1, 40, 3)


def test_the_centre_of_a_picture():
    picture = np.arange(30).reshape(5, 6)
    assert (centre(picture, 3) == picture[1:4, 1:4]).all()
    assert (centre(picture, 9) == picture).all()
