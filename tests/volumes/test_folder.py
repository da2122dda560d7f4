"""Folders of slices that Pillow and tifffile wrote."""

import json
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.notices import Notice
from tests.volumes.stacks import check_reads, voxels
from volumes import open_volume
from volumes.grey import GreyOptions


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_slices_in_natural_order(tmp_path, dtype):
    for i, plane in enumerate(voxels(dtype)):
        tifffile.imwrite(tmp_path / f"slice_{i + 8}.tif", plane)  # 8, 9, 10, ...
    check_reads(tmp_path, voxels(dtype))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 10, 20), None),
        ((3, 4, 6, 7), "slice_4.tif: the next slice is slice_6.tif. "),
        ((0, 2, 3, 9), r"slice_0.tif: the next slice is slice_2.tif \(and 1 more\)"),
    ],
)
def test_gaps_are_told(tmp_path, numbers, message, recwarn):
    for number in numbers:
        tifffile.imwrite(tmp_path / f"slice_{number}.tif", voxels()[0])
    assert open_volume(tmp_path).numbers == [(number,) for number in numbers]
    told = [str(warning.message) for warning in recwarn if warning.category is Notice]
    assert len(told) == (message is not None) and all(re.search(message, line) for line in told)


def test_pixel_size_of_an_earlier_folder(tmp_path):
    for i, plane in enumerate(voxels()):
        Image.fromarray(plane).save(tmp_path / f"{i}.png")
    (tmp_path / "volume.json").write_text(json.dumps({"pixel_size_nm": [4, 5.0]}))
    check_reads(tmp_path, voxels(), (None, 4, 5))


def test_unlike_slices_are_refused(tmp_path):
    Image.fromarray(voxels()[0]).save(tmp_path / "0.png")
    Image.fromarray(voxels()[0][:, 1:]).save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="1.png: .*30.* but .*0.png has"):
        open_volume(tmp_path)
    Image.fromarray(voxels()[0]).convert("RGB").save(tmp_path / "1.png")
    with pytest.raises(ValueError, match="1.png: 3 samples of RGB"):
        open_volume(tmp_path)
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match="1.png"):
        open_volume(tmp_path)


def test_slices_that_mean_other_things_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "0.tif", voxels()[0])
    tifffile.imwrite(tmp_path / "1.tif", voxels()[0], photometric="miniswhite")
    with pytest.raises(ValueError, match="1.tif: grey levels, 0 is white, but .* 0 is black"):
        open_volume(tmp_path)


def test_palettes_are_labels_as_masks_are_read(tmp_path):
    """Pillow numbers the colours of each file anew; a table of class numbers tells them."""
    labels = [np.array([[0, 1], [2, 2]]), np.array([[2, 2], [2, 1]])]
    for i, plane in enumerate(labels):
        Image.fromarray(plane.astype(np.uint8)).quantize(8).save(tmp_path / f"{i}.png")
    volume = check_reads(tmp_path, np.stack(labels).astype(np.uint8))
    with pytest.raises(ValueError, match="palettes, whose numbers are no grey levels"):
        GreyOptions().window_of(volume)


def test_palettes_numbered_anew_in_each_slice_are_refused(tmp_path):
    for i, colours in enumerate(([255, 0, 0, 0, 0, 255], [0, 0, 255, 255, 0, 0])):
        plane = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
        plane.putpalette(colours)
        plane.save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match=r"1.png: a palette in which the colour \(0, 0, 255\)"):
        open_volume(tmp_path)


def test_what_is_no_volume(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: no such file or folder"):
        open_volume(tmp_path / "absent")
    with pytest.raises(ValueError, match="expected TIFF, HDF5, MRC, Zarr"):
        open_volume(tmp_path)
