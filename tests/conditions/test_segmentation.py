"""Masks: each class is one channel, and whatever is no mask is refused with advice."""

import numpy as np
import pytest
from PIL import Image

from conditions import ConditionOptions
from conditions.segmentation import Segmentation, one_hot, read_mask
from tests.picture_files import blocks, write


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 7])
def test_each_class_is_one_channel(tmp_path, suffix, num_classes):
    labels = blocks((64, 40), num_classes)
    path = write(tmp_path / f"m{suffix}", labels)
    condition = Segmentation(ConditionOptions(num_classes))
    hint = condition.read_hint(path)
    assert hint.dtype == np.float32
    assert hint.shape == (64, 40, num_classes)
    assert condition.hint_channels == num_classes
    for i in range(num_classes):
        assert np.array_equal(hint[..., i], labels == i)
    assert np.array_equal(one_hot(labels, num_classes), hint)
    assert np.array_equal(condition.labels(hint), labels)


def test_the_file_is_read_as_indices_that_no_view_interpolates(tmp_path):
    labels = blocks((64, 40))
    layers = Segmentation().read(write(tmp_path / "m.png", labels))
    assert layers.smooth.shape == (64, 40, 0)
    assert np.array_equal(layers.classes[..., 0], labels)


def test_what_is_stored_is_the_mask():
    hint = one_hot(np.array([[0, 1, 2]]), 3)
    condition = Segmentation()
    (stored,) = condition.pictures("mask", hint).values()
    assert stored.dtype == np.uint8
    assert stored.tolist() == [[0, 1, 2]]
    assert condition.folders("mask") == condition.label_folders("mask") == ("mask",)


def test_three_classes_are_previewed_as_red_green_and_blue():
    preview = Segmentation().preview(one_hot(np.array([[0, 1, 2]]), 3))
    assert preview.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


def test_other_numbers_of_classes_are_previewed_in_class_colours():
    preview = Segmentation(ConditionOptions(4)).preview(one_hot(np.array([[0, 1, 2, 3]]), 4))
    assert preview.tolist() == [[[0, 0, 0], [0, 114, 178], [240, 228, 66], [213, 94, 0]]]


def test_grey_levels_are_refused_with_a_recipe(tmp_path):
    labels = blocks((64, 64))
    path = write(tmp_path / "m.png", np.array([0, 127, 255], np.uint8)[labels])
    with pytest.raises(ValueError) as error:
        read_mask(path, 3)
    text = str(error.value)
    assert "m.png: found value(s) 127, 255, expected 0..2 (--num_classes 3)" in text
    assert "numpy.searchsorted([0, 127, 255], mask)" in text
    # The recipe is right
    assert np.array_equal(np.searchsorted([0, 127, 255], np.array(Image.open(path))), labels)


def test_the_recipe_does_not_rely_on_a_file_that_lacks_a_class(tmp_path):
    path = write(tmp_path / "m.png", np.where(blocks((64, 64)) == 1, 255, 0).astype(np.uint8))
    expected = r"value\(s\) 255, .*searchsorted\(\[0, 127, 255\], mask\)"
    with pytest.raises(ValueError, match=expected):
        read_mask(path, 3)


def test_a_class_too_many_names_the_option(tmp_path):
    path = write(tmp_path / "m.png", blocks((64, 64), 5))
    expected = r"m.png: found value\(s\) 3, 4, expected 0..2 .*pass --num_classes 5"
    with pytest.raises(ValueError, match=expected):
        read_mask(path, 3)
    assert read_mask(path, 5).max() == 4


def test_a_picture_is_no_mask(tmp_path):
    path = write(tmp_path / "m.png", np.arange(4096).reshape(64, 64).astype(np.uint8))
    expected = r"value\(s\) 3, 4, 5, 6, 7, \.\.\., expected 0..2 .*a picture"
    with pytest.raises(ValueError, match=expected):
        read_mask(path, 3)
