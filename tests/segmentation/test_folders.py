"""Folders of the segmenter: which pairs they hold, and at which pixel size these are read."""

from pathlib import Path

import numpy as np
import pytest

from core.command_line.options import OptionError
from core.files import write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from segmentation.folders import (
    SegmenterFileOptions,
    SegmenterFolderOptions,
    gather_training_pairs,
    pixel_size_read,
)


@pytest.fixture
def folder_of(tmp_path):
    """Function from a name and a label to folders of one image and one mask, half of it 0."""

    def make(name, label=1):
        for kind, level in (("images", len(name)), ("masks", label)):
            (tmp_path / name / kind).mkdir(parents=True)
            pixels = np.full((8, 8), level, np.uint8)
            pixels[4:] = 0
            write_png(tmp_path / name / kind / f"{name}.png", pixels)
        return (tmp_path / name / "images",), (tmp_path / name / "masks",)

    return make


def test_only_generated_masks_may_ignore_pixels_unless_asked(folder_of):
    real, generated, marked = folder_of("real"), folder_of("generated", 255), folder_of("mark", 255)
    files = SegmenterFileOptions(
        synthetic_image_path=generated[0], synthetic_mask_path=generated[1]
    )
    pairs = gather_training_pairs(SegmenterFolderOptions(*real), files)
    assert pairs.numbers == {"real": 1, "synthetic": 1} and pairs.validation == []
    assert pairs.describe() == "training on 1 images and 1 generated ones, validating on 0"
    with pytest.raises(ValueError, match="255"):
        gather_training_pairs(SegmenterFolderOptions(*marked), SegmenterFileOptions())
    options = SegmenterFolderOptions(*marked, ignore_255=True)
    assert gather_training_pairs(options, SegmenterFileOptions()).numbers["real"] == 1


def test_folders_without_their_masks_are_refused():
    for options, name in (
        (SegmenterFolderOptions((Path("a"), Path("b")), (Path("c"),)), "mask_path"),
        (SegmenterFileOptions(val_image_path=(Path("a"),)), "val_mask_path"),
        (SegmenterFileOptions(synthetic_image_path=(Path("a"),)), "synthetic_mask_path"),
    ):
        with pytest.raises(OptionError) as caught:
            options.check()
        assert caught.value.field == name


def test_the_pixel_size_is_that_of_the_files_or_the_one_asked_for(folder_of):
    (images,), _ = folder_of("real")
    assert pixel_size_read(None, [images]) is None
    with pytest.raises(ValueError, match="--pixel_size"):
        pixel_size_read(8, [images])  # from which size, nobody knows
    write_json(images / VOLUME, {"pixel_size_nm": [4, 4]})
    assert pixel_size_read(None, [images]) == (4, 4) and pixel_size_read(8, [images]) == (8, 8)
