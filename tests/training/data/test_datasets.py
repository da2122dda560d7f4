"""Folders that belong together, and the data sets they make."""

from pathlib import Path

import pytest

from conditions import ConditionOptions
from core.command_line.options import OptionError
from core.files import write_json
from core.imaging.images import image_size
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from core.sample_options import SampleOptions
from training.data.datasets import build_datasets
from training.options import DataOptions

A, B, C, D = (Path(name) for name in "abcd")


@pytest.mark.parametrize(
    ("folders", "field"),
    [
        ({}, "image_path"),
        ({"image_path": A}, "mask_path"),
        ({"image_path": A, "mask_path": B, "condition_type": "edge"}, "edge_path"),
        ({"image_path": A, "mask_path": B, "val_image_path": C}, "val_image_path"),
        ({"image_path": A, "mask_path": B, "val_mask_path": C}, "val_mask_path"),
    ],
)
def test_a_missing_folder_is_named(folders, field):
    with pytest.raises(OptionError) as error:
        DataOptions(**folders).check()
    assert error.value.field == field


def test_a_type_reads_its_own_folder_or_the_general_one():
    own = DataOptions(image_path=A, edge_path=B, condition_type="edge")
    general = DataOptions(image_path=A, condition_path=B, condition_type="depth")
    for options in (own, general):
        options.check()
        assert options.condition_folder() == B and options.condition_folder("val_") is None
        assert not options.has_validation
    # The published program takes validation tensors without images.
    rgba = DataOptions(image_path=A, rgba_path=B, condition_type="rgba", val_rgba_path=C)
    rgba.check()
    assert not rgba.has_validation
    both = DataOptions(image_path=A, mask_path=B, val_image_path=C, val_condition_path=D)
    both.check()
    assert both.has_validation and both.condition_folder("val_") == D


def test_training_data_are_augmented_and_validation_data_are_not(pairs):
    images, masks = pairs / "images", pairs / "masks"
    data = DataOptions(
        image_path=images, mask_path=masks, val_image_path=images, val_mask_path=masks
    )
    samples = SampleOptions(prompt_drop=0.5, crop_scale=[0.5, 1.0])
    train, validation = build_datasets(data, ConditionOptions(), samples, 32)
    assert len(train) == len(validation) == 6
    assert train.augment and train.prompt_drop == 0.5 and train.crop_scale == (0.5, 1.0)
    plain = validation.dataset
    assert not plain.augment and plain.prompt_drop == 0.0
    assert train.image_size == plain.image_size == 32


def test_without_validation_folders_there_is_no_validation(pairs):
    data = DataOptions(image_path=pairs / "images", mask_path=pairs / "masks")
    assert build_datasets(data, ConditionOptions(), SampleOptions(), 32).validation is None


def test_a_bad_mask_is_found_before_the_training(pairs):
    (pairs / "masks" / "cell_3.png").write_bytes(b"no picture")
    data = DataOptions(image_path=pairs / "images", mask_path=pairs / "masks")
    with pytest.raises((ValueError, OSError), match="cell_3.png"):
        build_datasets(data, ConditionOptions(), SampleOptions(), 32)


def test_other_pixel_sizes_are_warned_of(pairs):
    images, masks = pairs / "images", pairs / "masks"
    write_json(images / VOLUME, {"pixel_size_nm": [8, 8]})
    write_json(masks / VOLUME, {"pixel_size_nm": [4, 4]})
    data = DataOptions(image_path=images, mask_path=masks)
    with pytest.warns(Notice, match="masks has pixels of 4 nm, but .*images has pixels of 8 nm"):
        train, _ = build_datasets(data, ConditionOptions(), SampleOptions(), 32)
    assert train.pixel_size == (8, 8)


def test_a_size_to_resample_to_needs_one_to_resample_from(pairs):
    images, masks = pairs / "images", pairs / "masks"
    data = DataOptions(image_path=images, mask_path=masks, pixel_size=16)
    with pytest.raises(ValueError, match="--pixel_size: .*images does not say"):
        build_datasets(data, ConditionOptions(), SampleOptions(), 32)
    write_json(images / VOLUME, {"pixel_size_nm": [8, 8]})
    train, _ = build_datasets(data, ConditionOptions(), SampleOptions(), 32)
    assert train.pixel_size == (16, 16) and train[0]["hint"].shape == (32, 32, 3)


def test_crops_in_pixels_that_do_not_fit_are_told(pairs, recwarn):
    data = DataOptions(image_path=pairs / "images", mask_path=pairs / "masks")
    side = min(image_size(next((pairs / "images").iterdir())))
    for smallest in (side, side + 1):
        samples = SampleOptions(crop_pixels=(smallest, 2 * side))
        build_datasets(data, ConditionOptions(), samples, 32)
    (notice,) = recwarn
    assert f"--crop_pixels {side + 1}: 6 of 6 images" in str(notice.message)
    assert f"down to {side} pixels" in str(notice.message)


def test_two_rules_for_crops_contradict_each_other():
    SampleOptions(crop_pixels=(30, 40)).check()
    with pytest.raises(OptionError, match="takes the place of --crop_scale"):
        SampleOptions(crop_pixels=(30, 40), crop_scale=(0.5, 1.0)).check()
