"""Conditions of a set: their sizes, and hints as the model takes them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conditions import create_condition
from core.imaging.images import write_png
from core.notices import Notice
from generation.planning.branches import Branch
from generation.planning.inputs import (
    check_condition_set,
    check_condition_sets,
    mirror_to_multiple,
    notify_of_uniform_masks,
    stack_hints,
)
from generation.planning.plan import ConditionSet


def test_padding_mirrors_right_and_below():
    hint = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    padded = mirror_to_multiple(hint, 4)[..., 0]
    expected = [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [0, 1, 2, 2]]
    assert padded.tolist() == expected
    assert mirror_to_multiple(hint[:1, :1], 4).shape == (4, 4, 1)  # mirrored more than once


def test_hints_are_one_tensor_for_each_branch():
    rng = np.random.default_rng(0)
    batch = [[rng.random((4, 6, channels), np.float32) for channels in (3, 1)] for _ in range(2)]
    first, second = stack_hints(batch, multiple=2)
    assert first.shape == (2, 3, 4, 6) and second.shape == (2, 1, 4, 6)
    assert first.is_contiguous()
    assert np.array_equal(first[1, 2].numpy(), batch[1][0][..., 2])


def test_palette_masks_numbered_anew_in_each_file_are_refused(tmp_path):
    for i, colours in enumerate(([255, 0, 0, 0, 0, 255], [0, 0, 255, 255, 0, 0])):
        mask = Image.fromarray(np.eye(8, dtype=np.uint8), mode="P")
        mask.putpalette(colours)
        mask.save(tmp_path / f"{i}.png")
    branch = Branch("mask", create_condition("segmentation"), Path("w"), tmp_path)
    sets = [ConditionSet(i, (tmp_path / f"{i}.png",)) for i in range(2)]
    assert check_condition_sets(sets[:1], [branch], 8, pad=False) == {0: (8, 8)}
    with pytest.raises(ValueError, match="1.png: a palette in which the colour"):
        check_condition_sets(sets, [branch], 8, pad=False)


def test_masks_in_jpeg_files_are_warned_of(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.jpg")
    branch = Branch("mask", create_condition("segmentation"), Path("w"), tmp_path)
    with pytest.warns(Notice, match="1 of 1 files of labels are compressed as JPEG"):
        check_condition_sets([ConditionSet(0, (tmp_path / "a.jpg",))], [branch], 8, pad=False)


def test_masks_of_one_class_are_named_unless_one_differs(tmp_path):
    masks = Branch("mask", create_condition("segmentation"), Path("w"), tmp_path)
    depth = Branch("near", create_condition("depth"), Path("w"), tmp_path)
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.full((8, 8), 2, np.uint8))
    write_png(tmp_path / "two.png", np.eye(8, dtype=np.uint8))

    def notices(branches, *names):
        sets = [
            ConditionSet(i, (tmp_path / f"{name}.png",) * len(branches))
            for i, name in enumerate(names)
        ]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            notify_of_uniform_masks(sets, branches)
        return [str(notice.message) for notice in caught]

    (notice,) = notices([depth, masks], 0, 1, 2)
    assert notice.startswith(f"{tmp_path}: all 3 masks hold class 2 alone")
    assert notices([masks], 0, 1, "two") == notices([depth], 0, 1, 2) == []


def test_files_of_a_set_have_one_size_that_the_model_takes(tmp_path):
    branches = [
        Branch(name, create_condition("depth"), Path("w"), tmp_path) for name in ("near", "far")
    ]
    for name, shape in (("a", (32, 48)), ("b", (32, 48)), ("c", (48, 32))):
        write_png(tmp_path / f"{name}.png", np.zeros(shape, np.uint8))

    def check(*names, multiple=16, pad=False):
        files = tuple(tmp_path / f"{name}.png" for name in names)
        return check_condition_set(ConditionSet(0, files), branches, multiple, pad)

    assert check("a", "b") == (32, 48)
    with pytest.raises(ValueError, match="c.png: 32 x 48 pixels, but .*a.png has 48 x 32"):
        check("a", "c")
    with pytest.raises(ValueError, match="a.png: 48 x 32 pixels, expected multiples of 32.*--pad"):
        check("a", "b", multiple=32)
    assert check("a", "b", multiple=32, pad=True) == (32, 48)
