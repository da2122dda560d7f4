"""Organelles of masks: what counts as one, and where it can be put."""

import numpy as np
import pytest

from conditions.objects import MARGIN, find_objects, put_down, take_out, turned


@pytest.fixture
def ring_in_cell():
    """A cell (class 0) with a ring of class 1 around class 2 in the upper left corner."""
    labels = np.zeros((40, 50), np.int64)
    labels[5:14, 6:18] = 1
    labels[8:11, 9:15] = 2
    return labels


def test_an_object_has_what_lies_inside_it(ring_in_cell):
    (piece,) = find_objects(ring_in_cell, [1])
    assert (piece.top, piece.left, piece.host) == (5, 6, 0)
    assert piece.footprint.all() and piece.footprint.shape == (9, 12)
    assert (piece.labels == 2).sum() == 3 * 6


def test_a_region_at_the_border_is_no_object(ring_in_cell):
    assert not find_objects(ring_in_cell[5:], [1])
    assert not find_objects(ring_in_cell[:, :18], [1])


def test_a_region_between_two_classes_is_no_object(ring_in_cell):
    ring_in_cell[:, 18:] = 3
    assert not find_objects(ring_in_cell, [1])


def test_an_object_that_is_taken_out_leaves_its_host(ring_in_cell):
    take_out(ring_in_cell, find_objects(ring_in_cell, [1])[0])
    assert not ring_in_cell.any()


def test_a_quarter_turn_keeps_every_pixel(ring_in_cell):
    piece = find_objects(ring_in_cell, [1])[0]
    other = turned(piece, 90, mirrored=False)
    assert np.array_equal(other.labels, np.rot90(piece.labels))
    mirrored = turned(piece, 0, mirrored=True)
    assert np.array_equal(mirrored.labels, piece.labels[:, ::-1])


def test_an_object_is_put_where_it_fits(ring_in_cell):
    piece = find_objects(ring_in_cell, [1])[0]
    free = np.s_[20 : 20 + 9 + 2 * MARGIN, 30 : 30 + 12 + 2 * MARGIN]
    labels = np.full_like(ring_in_cell, 3)  # another class, apart from one place of the right size
    labels[free] = 0
    assert put_down(labels, piece, np.random.default_rng(0))
    expected = np.full_like(labels, 3)
    expected[free] = np.pad(piece.labels, MARGIN)
    assert np.array_equal(labels, expected)
    # The place is taken now.
    assert not put_down(labels, piece, np.random.default_rng(0))
    assert np.array_equal(labels, expected)


def test_an_object_larger_than_the_mask_finds_no_place(ring_in_cell):
    piece = find_objects(ring_in_cell, [1])[0]
    assert not put_down(np.zeros((8, 8), np.int64), piece, np.random.default_rng(0))
