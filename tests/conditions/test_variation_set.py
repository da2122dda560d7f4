"""New masks of a set: each follows from its own seed, and its image is bent alike."""

import numpy as np
import pytest

from conditions.variation import VariationOptions
from conditions.variation_set import VariationJob, find_masks, gather_organelles, make
from core.command_line.options import OptionError
from core.imaging.images import read_grey, write_png
from core.imaging.labels import read_labels

VARIATION = VariationOptions()


@pytest.fixture
def files(tmp_path):
    """A mask with one organelle of class 2, and an image in which grey is 100 times the class."""
    labels = np.ones((64, 64), np.uint8)
    labels[20:30, 20:36] = 2
    for name, pixels in (("mask.png", labels), ("image.png", labels * 100)):
        write_png(tmp_path / name, pixels)
    return tmp_path / "mask.png", tmp_path / "image.png"


def made(job, folder, seed=0):
    """Labels and grey levels of the new mask and image of a job, (H, W) each."""
    for name in ("masks", "images"):
        (folder / name).mkdir(parents=True)
    make(job, folder, 3, seed, VARIATION, [])
    labels = read_labels(folder / "masks" / f"{job.name}.png")
    return labels, read_grey(folder / "images" / f"{job.name}.png")


def test_images_are_bent_like_their_masks(files, tmp_path):
    labels, grey = made(VariationJob(*files, 0), tmp_path / "new")
    assert (labels != read_labels(files[0])).any()
    # Grey is interpolated, so pixels at the edge of the organelle lie between the two levels.
    assert (np.abs(grey * 255 - labels * 100) < 1).mean() > 0.9


def test_draws_follow_from_seed_mask_and_copy_alone(files, tmp_path):
    first, again, copy, seed = (
        made(VariationJob(*files, k), tmp_path / name, seed)[0]
        for name, k, seed in (("a", 0, 0), ("b", 0, 0), ("c", 1, 0), ("d", 0, 1))
    )
    assert (first == again).all()
    assert (first != copy).any() and (first != seed).any()


def test_masks_are_checked_and_organelles_found(files, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    files[0].rename(folder / "mask.png")
    assert find_masks(folder, None, 3) == [(folder / "mask.png", None)]
    assert len(gather_organelles([folder / "mask.png"], 3, [2])) == 1
    assert gather_organelles([folder / "mask.png"], 3, []) == []
    with pytest.raises(OptionError, match=f"objects: 1: {folder} shows no region"):
        gather_organelles([folder / "mask.png"], 3, [1])
    with pytest.raises(OptionError, match="objects: 3 is no class"):
        gather_organelles([folder / "mask.png"], 3, [3])
    with pytest.raises(ValueError, match="mask.png: found value"):
        find_masks(folder, None, 2)
