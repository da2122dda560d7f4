"""The split by slices or animals: what goes where, what is refused, what is warned of."""

import warnings
from pathlib import Path

import pytest

from conditions.pairs import Pair
from core.notices import Notice
from segmentation.study.split import SplitConfig, split_pairs, spread


def pairs(*names):
    return [Pair(Path(f"images/{name}.png"), Path(f"masks/{name}.png")) for name in names]


def names(members):
    return [pair.image.stem for pair in members]


def test_slices_go_to_parts_by_ranges():
    slices = pairs(*(f"z{z:03d}_{tile}" for z in range(0, 30, 3) for tile in "ab"))
    config = SplitConfig(pattern=r"z(\d+)", train=["0-9"], val=[15], test=["20-29"], gap=5)
    parts = split_pairs(slices, config)
    assert names(parts["train"]) == [f"z{z:03d}_{tile}" for z in (0, 3, 6, 9) for tile in "ab"]
    assert names(parts["val"]) == ["z015_a", "z015_b"]
    assert names(parts["test"]) == [f"z{z:03d}_{tile}" for z in (21, 24, 27) for tile in "ab"]


def test_animals_go_to_parts_by_name():
    config = SplitConfig(pattern=r"_(rat\w)", train=["ratA", "ratB"], val=["ratC"], test=["ratD"])
    parts = split_pairs(pairs("1_ratA", "2_ratB", "3_ratC", "4_ratD", "5_ratE"), config)
    assert names(parts["train"]) == ["1_ratA", "2_ratB"]  # E is of no part


def test_neighbouring_slices_are_warned_of():
    slices = pairs("z1", "z4", "z8")
    fields = {"pattern": r"z(\d+)", "train": [1], "val": [4], "test": [8]}
    with pytest.warns(Notice, match="train holds 1 and val holds 4, which are neighbours"):
        split_pairs(slices, SplitConfig(**fields, gap=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_pairs(slices, SplitConfig(**fields, gap=2))


def test_slices_between_those_of_another_part_are_warned_of():
    slices = pairs(*(f"z{z}" for z in range(0, 60, 10)))
    fields = {"pattern": r"z(\d+)", "val": [20], "test": [50]}
    with pytest.warns(Notice, match="slices of train and val lie between each other"):
        split_pairs(slices, SplitConfig(**fields, train=["0 - 10", "30-40"]))
    for changes in ({"train": ["0-10"]}, {"train": ["0-10", "30-40"], "gap": 0}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            split_pairs(slices, SplitConfig(**fields, **changes))


def test_crops_of_one_picture_in_two_parts_are_warned_of():
    crops = [
        f"data{n}_rat{rat}_y{y:04d}_x0000"
        for n, rat, y in ((1, 1, 0), (2, 2, 0), (14, 5, 0), (14, 5, 512))
    ]
    fields = {"train": ["1_y0000"], "val": ["5_y0000"], "test": ["5_y0512"]}
    with pytest.warns(Notice, match="val and test hold crops of one picture, data14_rat5") as seen:
        split_pairs(pairs(*crops), SplitConfig(pattern=r"rat(\d_y\d+)", **fields))
    assert len(seen) == 1
    with pytest.warns(Notice, match="train and val hold crops of one picture, images"):
        rows = {"train": [0], "val": [512], "test": [1024]}
        crops_alone = pairs("y0_x0", "y512_x0", "y1024_x0")
        split_pairs(crops_alone, SplitConfig(pattern=r"y(\d+)", **rows))
    animals = SplitConfig(pattern=r"rat(\d)", train=[1], val=[2], test=[5], gap=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_pairs(pairs(*crops), animals)
        # Neither slices across x nor animals are crops of one picture.
        numbers = {"train": [1], "val": [2], "test": [3], "gap": 0}
        names = "vol_x000{}", "x{}_mouse", "WT_Y{}_slice_3", "vol_x000{}_z0000_y0512", "vol_q{}5"
        for name in (*names, "freq{}"):
            pattern = name.split("{}")[0] + r"(\d)"
            named = pairs(*(name.format(i) for i in (1, 2, 3)))
            split_pairs(named, SplitConfig(pattern=pattern, **numbers))
    tiles = SplitConfig(pattern=r"x(\d)", train=[1], val=[2], test=[3], gap=0)
    with pytest.warns(Notice, match="train and val hold crops of one picture, cell"):
        split_pairs(pairs("cell_y1_x1", "cell_y1_x2", "rat_y1_x3"), tiles)
    quadrants = SplitConfig(pattern=r"(\d)$", train=[1], val=[2], test=[3], gap=0)
    for name in ("cell_q{}", "cell-Q{}", "cell_quad{}", "cell_quadrant_{}"):
        named = pairs(name.format(1), name.format(2), "rat_q3")
        with pytest.warns(Notice, match="train and val hold crops of one picture, cell"):
            split_pairs(named, quadrants)


def test_refusals_name_what_is_wrong():
    slices = pairs("z1", "z4")
    fields = {"pattern": r"z(\d+)", "train": [1], "val": [4], "test": [8]}
    cases = [
        ({}, "test names 8, which holds no image. The images are of: 1, 4"),
        ({"test": ["9-2"]}, "test names 9-2, which holds no image"),
        ({"test": [4, "5..8"], "val": []}, "val names no place"),
        ({"test": [4, "5..8"], "val": [1]}, r"test names 5..8, which .* as \"0-9\""),
        ({"val": ["1-4"], "test": [4]}, "1 stands in train and in val"),
        ({"pattern": r"y(\d+)"}, r"does not match z1.png"),
    ]
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            split_pairs(slices, SplitConfig(**{**fields, **changes}))
    for number in (1e3, True):  # what YAML makes of 1e3 and of `yes`
        with pytest.raises(ValueError, match="test"):
            SplitConfig(**{**fields, "test": [number]})
    for pattern in ("z", "("):
        with pytest.raises(ValueError, match=r"no parentheses|no regular expression"):
            SplitConfig(**{**fields, "pattern": pattern})


def test_few_pairs_are_spread_over_all():
    slices = pairs(*"abcdefgh")
    assert names(spread(slices, 2)) == ["c", "g"]
    assert names(spread(slices, 8)) == list("abcdefgh")
