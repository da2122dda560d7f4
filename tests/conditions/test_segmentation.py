"""Masks: each class is one channel, and whatever is no mask is refused with advice."""

import ast
import re

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conditions import ConditionOptions
from conditions.segmentation import Segmentation, one_hot, read_mask
from core.command_line.options import OptionError
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
    assert "m.png: found value(s) 127, 255, expected 0..2 (3 classes)" in text
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
    expected = r"m.png: found value\(s\) 3, 4, expected 0..2 .*If the data have 5 classes"
    with pytest.raises(ValueError, match=expected):
        read_mask(path, 3)
    assert read_mask(path, 5).max() == 4
    path = write(tmp_path / "many.png", blocks((64, 64), 41))  # no picture's grey levels
    with pytest.raises(ValueError, match=r"value\(s\) 40, .*If the data have 41 classes"):
        read_mask(path, 40)


def test_a_picture_is_no_mask(tmp_path):
    path = write(tmp_path / "m.png", np.arange(4096).reshape(64, 64).astype(np.uint8))
    expected = r"value\(s\) 3, 4, 5, 6, 7, \.\.\., expected 0..2 .*a picture"
    with pytest.raises(ValueError, match=expected):
        read_mask(path, 3)


@pytest.mark.parametrize("name", ["m.jpg", "m.tif"])
def test_jpeg_is_named_as_the_cause_of_odd_values(tmp_path, name):
    """And not the number of classes, though 3 follows 2."""
    path = tmp_path / name
    if name == "m.jpg":
        Image.fromarray(np.full((16, 16), 3, np.uint8)).save(path)
    else:
        tifffile.imwrite(path, np.full((16, 16), 3, np.uint8), compression="jpeg")
    text = advice(path)
    assert "found value(s) 3, expected 0..2 (3 classes). The file is compressed as JPEG. " in text
    assert "save labels as PNG, or as TIFF without JPEG" in text and "state that" not in text


def advice(path, num_classes=3):
    with pytest.raises(ValueError) as error:
        read_mask(path, num_classes)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("present", [(0, 1, 2), (0, 1), (1,), (0, 2)])
def test_an_ignore_label_is_called_one(tmp_path, dtype, present):
    """As grey levels, 0, 1, 2 and 255 would become classes 0, 1, 1 and 2."""
    ignore = {np.uint16: 65535, np.int32: -1}.get(dtype, 255)
    mask = np.array([*present, ignore], dtype).repeat(16).reshape(8, -1)
    text = advice(write(tmp_path / "m.tif", mask))
    assert f"{ignore} looks like an ignore label" in text and "searchsorted" not in text
    stored = "" if ignore == 255 else "stored as 255, "
    assert f"no class here; {stored}--ignore_255, where a program has it, leaves those" in text
    assert text.index("--ignore_255") < text.index(f"mask[mask == {ignore}] = 0;")
    assert f"mask[mask == {ignore}] = 3, which makes 4 classes" in text


def test_classes_too_many_beside_an_ignore_label_are_counted(tmp_path):
    mask = np.array([[0, 1, 2, 3, 255]], np.uint8)
    text = advice(write(tmp_path / "m.png", mask))
    assert "mask[mask == 255] = 0 and state 4 classes;" in text
    assert "mask[mask == 255] = 4, which makes 5 classes" in text


def test_an_ignore_label_that_is_allowed_is_not_blamed(tmp_path):
    path = write(tmp_path / "m.png", np.array([[0, 1, 2, 3, 255]], np.uint8))
    with pytest.raises(ValueError, match=r"value\(s\) 3, .*If the data have 4 classes") as error:
        read_mask(path, 3, allow_ignore=True)
    assert "255" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(
    num_classes=st.integers(1, 6),
    found=st.sets(st.sampled_from([*range(40), 63, 64, 85, 127, 128, 170, 191, 254, 255])),
)
def test_an_advised_recipe_keeps_values_apart_and_in_range(tmp_path_factory, num_classes, found):
    path = tmp_path_factory.getbasetemp() / "recipe.png"
    values = np.array([sorted(found | {0})], np.uint8)
    write(path, values)
    if values.max() < num_classes:
        return
    levels = re.search(r"searchsorted\((\[.*?\]), mask\)", advice(path, num_classes))
    if levels:
        mapped = np.searchsorted(ast.literal_eval(levels[1]), values)[0]
        assert len(set(mapped.tolist())) == values.size and mapped.max() < num_classes


@pytest.mark.parametrize("values", [(0, 128), (0, 100, 255, 7), (0, 2, 3, 200), (0, 127, 254)])
def test_unclear_levels_get_no_recipe(tmp_path, values):
    text = advice(write(tmp_path / "m.png", np.array([values], np.uint8)), num_classes=4)
    assert "searchsorted" not in text and "Save one whole number per class" in text


def test_readers_that_differ_get_no_recipe(tmp_path):
    levels = np.array([[0, 127, 255]], np.uint8)
    tifffile.imwrite(tmp_path / "white.tif", levels, photometric="miniswhite")
    text = advice(tmp_path / "white.tif")
    assert "searchsorted" not in text and "0 is white in this file" in text
    deep = np.repeat(levels[..., None].astype(np.uint16) * 257, 3, axis=2)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)  # Pillow halves it
    tifffile.imwrite(tmp_path / "turned.tif", levels, extratags=[(274, "H", 1, 6, True)])
    for name in ("deep.png", "turned.tif"):
        text = advice(tmp_path / name)
        assert "searchsorted" not in text and "in a grey file" in text


def test_more_classes_than_bytes_can_name_are_refused():
    ConditionOptions(num_classes=255).check()
    with pytest.raises(OptionError, match="256, expected at most 255"):
        ConditionOptions(num_classes=256).check()
