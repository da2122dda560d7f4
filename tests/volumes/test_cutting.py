"""Slices, parts and tiles: numbers that are known by hand."""

import argparse

import numpy as np
import pytest

from core.command_line.options import OptionError
from volumes.base import axis_index
from volumes.cutting import CutOptions, SplitOptions, Tile, part_of_volume, slabs, tiles_of


def test_chosen_slices():
    assert list(CutOptions(range="2:", step=3).chosen(10)) == [2, 5, 8]
    assert list(CutOptions(range=":99").chosen(3)) == [0, 1, 2]
    with pytest.raises(OptionError, match="no slice of 10"):
        CutOptions(range="10:20").chosen(10)


def test_blocks_by_shares_leave_gaps_between():
    split = SplitOptions(("train=0.5", "val=0.25", "test=0.25"), gap=4)
    parts = split.parts(range(20, 108), 200)
    assert parts["train"] == list(range(20, 60))
    assert parts["val"] == list(range(64, 84))
    assert parts["test"] == list(range(88, 108))
    few = SplitOptions(("a=0.5", "b=0.5"), gap=4).parts(range(0, 24, 2), 24)
    assert few == {"a": [0, 2, 4, 6, 8], "b": [14, 16, 18, 20, 22]}


def test_blocks_by_numbers():
    split = SplitOptions(("train=:40", "test=60:"))
    assert split.parts(range(0, 100, 20), 100) == {"train": [0, 20], "test": [60, 80]}
    assert SplitOptions().parts(range(3), 3) == {"": [0, 1, 2]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a=0.5", "a=0.2"), "twice"),
        (("a=0.5", "b=1:2"), "not both"),
        (("a=0.7", "b=0.4"), "exceed 1"),
    ],
)
def test_splits_that_are_refused_at_once(words, message):
    with pytest.raises(OptionError, match=message):
        SplitOptions(words).check()


@pytest.mark.parametrize(
    ("words", "gap", "message"),
    [
        (("a=0:50", "b=49:"), 0, "49 to 49 are in two"),
        (("a=0:50", "b=300:"), 0, "b would have no slice"),
        (("a=0.5", "b=0.5"), 99, "nothing is left of 100"),
    ],
)
def test_splits_that_do_not_fit(words, gap, message):
    with pytest.raises(OptionError, match=message):
        SplitOptions(words, gap).parts(range(100), 100)


def test_tiles_end_at_the_border():
    tiles = tiles_of(100, 250, CutOptions(tile=100, overlap=20))
    assert [tile.column for tile in tiles] == [0, 80, 150] and {t.row for t in tiles} == {0}
    assert tiles_of(7, 9, CutOptions()) == [Tile(0, 0, 7, 9)]
    pixels = np.arange(25000).reshape(100, 250)
    assert tiles[1].of(pixels)[3, 4] == pixels[3, 84]
    seen = np.zeros((130, 250), bool)
    for tile in tiles_of(130, 250, CutOptions(tile=64, overlap=10)):
        tile.of(seen)[:] = True
    assert seen.all()
    with pytest.raises(OptionError, match="250 x 100"):
        tiles_of(100, 250, CutOptions(tile=101))
    with pytest.raises(OptionError, match="overlap"):
        CutOptions(tile=16, overlap=16).check()


def test_slabs_span_chunks_and_keep_to_the_memory():
    numbers = list(range(5, 40))
    groups = list(slabs(numbers, chunk=16, slice_bytes=10, most_bytes=1000))
    assert [(g[0], g[-1]) for g in groups] == [(5, 15), (16, 31), (32, 39)]
    assert max(map(len, slabs(numbers, 16, 10, 40))) == 4
    assert all(len(g) == 1 for g in slabs(numbers, 16, 1000, 40))
    assert [len(g) for g in slabs(range(0, 300, 100), 1, 10, 1000)] == [1, 1, 1]
    assert [i for g in slabs(numbers, 3, 10, 1000) for i in g] == numbers


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (part_of_volume, "train", "'' is not a number"),
        (part_of_volume, "train=x", "'x' is not a number"),
        (part_of_volume, "train=0", "'train=0' takes no slices"),
        (part_of_volume, "train=7", "7 is outside 0..1"),
        (part_of_volume, "train=5:x", "'5:x' is no range"),
        (axis_index, "c-0", "'c-0' is no place on an axis"),
    ],
)
def test_a_mistyped_part_is_told_what_was_expected(kind, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        kind(text)
