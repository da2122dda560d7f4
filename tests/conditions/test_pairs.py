"""Pairs of images and conditions: what belongs together, what is refused before a training."""

import shutil

import numpy as np
import pytest
from PIL import Image

from conditions import ConditionOptions, Segmentation, create_condition
from conditions.pairs import check_pairs, find_pairs, notify_of_overlap
from core.notices import Notice
from tests.picture_files import blocks, make_pairs, touch, write


def test_pairs_of_two_folders_by_stem_or_by_numbers(tmp_path):
    images = touch(tmp_path / "i", "cell_10.png", "cell_9.png", "cell_a.tif")
    masks = touch(tmp_path / "m", "cell_9.tif", "cell_10.png", "cell_a.png")
    assert find_pairs(images, masks) == [
        (images / "cell_9.png", masks / "cell_9.tif"),
        (images / "cell_10.png", masks / "cell_10.png"),
        (images / "cell_a.tif", masks / "cell_a.png"),
    ]
    sets, numbers = (1, 2), (7, 11, 100)
    names = [
        (f"Dataset {d}_img_{k}.png", f"Dataset {d}_GTM_img_{k:04d}.png")
        for d in sets
        for k in numbers
    ]
    images = touch(tmp_path / "published_i", *(image for image, _ in names))
    masks = touch(tmp_path / "published_m", *(mask for _, mask in names))
    pairs = find_pairs(images, masks)
    assert [(pair.image.name, pair.condition.name) for pair in pairs] == names


def test_names_that_do_not_pair_are_refused(tmp_path):
    images, masks = touch(tmp_path / "i", "a.png", "b.png"), touch(tmp_path / "m", "a.png")
    for folders in ((images, masks), (masks, images)):
        with pytest.raises(RuntimeError, match="do not pair one to one"):
            find_pairs(*folders)


def test_two_files_of_one_stem(tmp_path):
    double, single = touch(tmp_path / "i", "a.png", "a.tif"), touch(tmp_path / "m", "a.png")
    for folders in ((double, single), (single, double)):
        with pytest.raises(RuntimeError, match=r"a\.png and .*a\.tif share a stem"):
            find_pairs(*folders)


def test_empty_and_missing_folders(tmp_path):
    images = touch(tmp_path / "i", "a.png")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_pairs(images, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        find_pairs(touch(tmp_path / "empty"), images)


def test_check_pairs_finds_what_would_stop_training(tmp_path):
    images, masks = make_pairs(tmp_path, num=4)
    check_pairs(find_pairs(images, masks))
    edge = create_condition("edge")
    check_pairs(find_pairs(images, images, edge), edge)
    write(masks / "s_1.png", blocks((64, 32)))
    expected = r"images/s_1.png is 64 x 64 but .*masks/s_1.png is 32 x 64 pixels"
    with pytest.raises(RuntimeError, match=expected) as error:
        check_pairs(find_pairs(images, masks))
    assert "more)" not in str(error.value)
    write(masks / "s_2.png", blocks((64, 64), num_classes=4))
    (images / "s_3.png").write_bytes((images / "s_3.png").read_bytes()[:-30])
    with pytest.raises(RuntimeError, match=r"s_1.png is .* \(and 2 more\)$"):
        check_pairs(find_pairs(images, masks))
    (images / "s_0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"images/s_0.png: cannot be read .* \(and 3 more\)$"):
        check_pairs(find_pairs(images, masks))


@pytest.mark.filterwarnings("error")
def test_sound_pairs_are_not_warned_of(tmp_path):
    training, validation = (find_pairs(*make_pairs(tmp_path / name)) for name in ("t", "v"))
    for number, pair in enumerate(validation):
        write(pair.image, np.full((64, 64), number, np.uint8))
    check_pairs(training)
    notify_of_overlap(training, validation)


def test_a_colour_that_is_another_class_in_the_next_file_is_refused(tmp_path):
    """As programs number them that reduce the colours of each file for itself."""
    colours = {"red": (255, 0, 0), "blue": (0, 0, 255)}
    for name, order in (("a", ("red", "blue")), ("b", ("blue", "red"))):
        (tmp_path / "masks").mkdir(exist_ok=True)
        write(tmp_path / "images" / f"{name}.png", np.zeros((2, 2), np.uint8))
        mask = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), mode="P")
        mask.putpalette([value for colour in order for value in colours[colour]])
        mask.save(tmp_path / "masks" / f"{name}.png")
    pairs = find_pairs(tmp_path / "images", tmp_path / "masks")
    check_pairs(pairs[:1])
    message = r"b.png: .* colour \(0, 0, 255\) is class 0; in .*a.png it is 1"
    with pytest.raises(ValueError, match=message):
        check_pairs(pairs)


def test_palettes_that_tell_the_classes_are_taken(tmp_path):
    """Of Pillow's `quantize`, which numbers colours anew; and with a padded table and IGNORE."""
    for i, labels in enumerate(([[0, 1], [2, 2]], [[1, 1], [2, 2]], [[0, 255], [2, 1]])):
        for kind in ("images", "quantized", "padded"):
            (tmp_path / kind).mkdir(exist_ok=True)
        mask = np.array(labels, np.uint8)
        write(tmp_path / "images" / f"{i}.png", np.zeros((2, 2), np.uint8))
        quantized = Image.fromarray(np.where(mask == 255, 0, mask).astype(np.uint8)).quantize(8)
        quantized.save(tmp_path / "quantized" / f"{i}.png")
        padded = Image.fromarray(mask, mode="P")
        padded.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * 3 * 253)
        padded.save(tmp_path / "padded" / f"{i}.png")
    for kind in ("quantized", "padded"):
        pairs = find_pairs(tmp_path / "images", tmp_path / kind)
        check_pairs(pairs, Segmentation(ConditionOptions(3), allow_ignore=True))


def test_masks_in_jpeg_files_are_warned_of(tmp_path):
    images, masks = make_pairs(tmp_path, num=2)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(masks / "s_0.jpg", quality=100)
    (masks / "s_0.png").unlink()
    message = f"{masks}: 1 of 2 files of labels are compressed as JPEG, for example s_0.jpg"
    with pytest.warns(Notice, match=message):
        check_pairs(find_pairs(images, masks))


def test_masks_of_one_class_are_warned_of(tmp_path):
    images, masks = make_pairs(tmp_path)
    pairs = find_pairs(images, masks)
    for pair in pairs:
        write(pair.condition, np.full((64, 64), 2, np.uint8))
    with pytest.warns(Notice, match=f"{masks}: all {len(pairs)} masks hold class 2 alone"):
        check_pairs(pairs)


def test_masks_that_are_ignored_altogether_are_warned_of_or_refused(tmp_path, recwarn):
    images, masks = make_pairs(tmp_path)
    pairs, allowing = find_pairs(images, masks), Segmentation(allow_ignore=True)
    write(pairs[1].condition, np.full((64, 64), 255, np.uint8))
    check_pairs(pairs, allowing)
    (notice,) = recwarn.list
    expected = f"all pixels are marked with 255, as in 1 of {len(pairs)} masks"
    assert f"{pairs[1].condition}: {expected}" in str(notice.message)
    for pair in pairs:
        write(pair.condition, np.full((64, 64), 255, np.uint8))
    with pytest.raises(ValueError, match=f"{masks}: all pixels of all {len(pairs)} masks"):
        check_pairs(pairs, allowing)


def test_ignored_pixels_are_no_class(tmp_path):
    """Class 1 beside ignored pixels is one class; as class 0, they would be a second one."""
    images, masks = make_pairs(tmp_path)
    pairs, labels = find_pairs(images, masks), np.full((64, 64), 1, np.uint8)
    labels[:9] = 255
    for pair in pairs:
        write(pair.condition, labels)
    with pytest.warns(Notice, match="masks hold class 1 alone"):
        check_pairs(pairs, Segmentation(allow_ignore=True))


def test_images_that_are_their_own_masks_are_warned_of(tmp_path):
    images, _ = make_pairs(tmp_path)
    (tmp_path / "linked").symlink_to(images)
    for masks in (images, tmp_path / "linked", images / ".." / images.name):
        with pytest.warns(Notice, match="hold the same files: images are"):
            find_pairs(images, masks)


@pytest.mark.parametrize("how", ["same", "linked", "copied"])
def test_validation_with_training_images_is_warned_of(tmp_path, how):
    training = find_pairs(*make_pairs(tmp_path / "t"))
    folder = training[0].image.parent
    if how == "linked":
        (tmp_path / "linked").symlink_to(folder)
        folder = tmp_path / "linked"
    if how == "copied":
        shutil.copy(training[1].image, touch(tmp_path / "v", "other.png") / "other.png")
        folder = tmp_path / "v"
    images = list(folder.iterdir())
    validation = [pair._replace(image=path) for pair, path in zip(training, images, strict=False)]
    with pytest.warns(Notice, match=f"{len(images)} of {len(images)} validation images"):
        notify_of_overlap(training, validation)
