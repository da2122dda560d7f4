"""Pixel sizes of folders, trainings and weights."""

import json
import os

import numpy as np
import pytest
import tifffile
import torch

from core.imaging.known_sizes import (
    notify_of_unlike_folders,
    pixel_size_of_folder,
    pixel_size_of_weights,
    size_note,
)
from core.imaging.pixel_size import PixelSize, as_pixel_size
from core.notices import Notice
from core.weights.checkpoints import save_weights

PIXELS = np.zeros((8, 8), np.uint8)


def tiff(path, **tags):
    tifffile.imwrite(path, PIXELS, **tags)
    return path


def test_the_record_of_a_folder_comes_first(tmp_path):
    tiff(tmp_path / "a.tif", resolution=(1e7 / 8, 1e7 / 8), resolutionunit="CENTIMETER")
    assert pixel_size_of_folder(tmp_path) == pytest.approx((8, 8))
    (tmp_path / "volume.json").write_text(json.dumps({"pixel_size_nm": [4, 5]}))
    assert pixel_size_of_folder(tmp_path) == (4, 5)
    (tmp_path / "volume.json").write_text(json.dumps({"pixel_size_nm": None}))
    assert pixel_size_of_folder(tmp_path) is None
    (tmp_path / "volume.json").write_text(json.dumps({"pixel_size_nm": [0, 5]}))
    with pytest.raises(ValueError, match="volume.json"):
        pixel_size_of_folder(tmp_path)


def test_files_that_contradict_each_other(tmp_path):
    tiff(tmp_path / "a.tif", resolution=(1e7 / 8, 1e7 / 8), resolutionunit="CENTIMETER")
    tiff(tmp_path / "b.tif")
    with pytest.warns(Notice, match="8 nm in a.tif, but unknown in b.tif"):
        assert pixel_size_of_folder(tmp_path) is None


def test_pipes_devices_and_folders_are_no_pictures(tmp_path):
    tiff(tmp_path / "b.tif", resolution=(1e7 / 8, 1e7 / 8), resolutionunit="CENTIMETER")
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "c.tif").symlink_to("/dev/zero")
    (tmp_path / "d.tif").mkdir()
    assert pixel_size_of_folder(tmp_path) == pytest.approx((8, 8))


def test_weights_state_the_pixel_size_of_their_training(tmp_path):
    noted, plain = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights({"x": torch.zeros(1)}, noted, size_note(PixelSize(4, 5.5)))
    save_weights({"x": torch.zeros(1)}, plain, size_note(None))
    assert pixel_size_of_weights(noted) == (4, 5.5) and pixel_size_of_weights(plain) is None
    assert pixel_size_of_weights(tmp_path / "c.ckpt") is None
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(plain.read_bytes()[:12])
    with pytest.raises(ValueError, match="broken.safetensors: cannot be .* copy it again"):
        pixel_size_of_weights(broken)
    (tmp_path / "data.json").write_text(json.dumps({"pixel_size_nm": [8, 8], "images": {}}))
    assert pixel_size_of_weights(tmp_path / "c.ckpt") == (8, 8) == pixel_size_of_weights(noted)


def test_unlike_folders_are_warned_of(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, sides in zip(folders, (None, [8, 8], [4, 4]), strict=True):
        folder.mkdir()
        (folder / "volume.json").write_text(json.dumps({"pixel_size_nm": sides}))
    with pytest.warns(Notice, match="c has pixels of 4 nm, but .*b has .*8 nm: .* 2 times as many"):
        assert notify_of_unlike_folders(folders) == (8, 8)
    assert notify_of_unlike_folders(folders[:1]) is None
    assert as_pixel_size([1, 2]) == (1, 2)
    assert [as_pixel_size(x) for x in (None, [1], [0, 1], "ab", [1, "b"])] == [None] * 5
