"""The segmenter's data."""

import json
import warnings

import numpy as np
import pytest
import torch

from core.command_line.options import OptionError
from core.files import write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from segmentation.augmentation import AUGMENTATIONS, Augmentation, cut_square
from segmentation.data import (
    MixedDraws,
    SegmentationDataset,
    find_resamplings,
    gather_pairs,
    read_input,
    read_target,
)
from segmentation.reflection import reflect_to
from tests.blobs import blobs, write_pairs


def test_reflection():
    x = torch.tensor([[1, 2, 3]])
    assert reflect_to(x, 2, 8).tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 2
    assert torch.equal(reflect_to(x, 1, 2), x)


def test_colours_are_read_as_luma_and_grey_exactly(tmp_path):
    write_png(tmp_path / "green.png", np.full((2, 3, 3), (0, 255, 0), np.uint8))
    assert read_input(tmp_path / "green.png") == pytest.approx(torch.full((1, 2, 3), 0.587))
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_png(tmp_path / "grey.png", grey)
    assert torch.equal(read_input(tmp_path / "grey.png"), torch.from_numpy(grey)[None] / 255)


def shown_classes(image):
    """Class of each pixel of an image that shows classes as grey levels of 100."""
    return (image[0] * 2.55).round().long()


def test_image_and_mask_are_cut_turned_and_flipped_alike(tmp_path):
    """The image shows the mask's classes as grey levels, so a sample can be checked by itself."""
    mask = np.random.default_rng(0).integers(0, 3, (40, 50))
    cut_only = Augmentation(cut_square, lambda images: images)
    data = SegmentationDataset(write_pairs(tmp_path, [mask * 100], [mask]), 3, 32, cut_only)
    samples = [data[0, seed] for seed in range(12)]
    for image, target in samples:
        assert image.shape == (1, 32, 32) and target.dtype == torch.int64
        assert torch.equal(shown_classes(image), target)
    assert len({target.numpy().tobytes() for _, target in samples}) > 8


@pytest.mark.parametrize(("size", "pixel_side"), [((20, 200), None), ((40, 400), 20)])
def test_images_that_crops_show_several_times_are_warned_of(tmp_path, size, pixel_side):
    """With pixels of 10 nm, --pixel_size 20 halves the sides."""
    mask = np.random.default_rng(0).integers(0, 3, size)
    pairs = write_pairs(tmp_path, [mask * 100], [mask])
    write_json(pairs[0].image.parent / VOLUME, {"pixel_size_nm": [10, 10]})
    with pytest.warns(Notice, match=r"200 x 20 pixels .*a crop of 64 shows it several times"):
        SegmentationDataset(pairs, 3, 64, pixel_side=pixel_side).notify_of_small_images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SegmentationDataset(pairs, 3, 32, pixel_side=pixel_side).notify_of_small_images()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_sample_depends_on_index_and_seed_alone(tmp_path, name):
    mask = np.arange(60 * 60).reshape(60, 60) // 1300
    pairs = write_pairs(tmp_path, [mask * 100] * 2, [mask] * 2)
    data = SegmentationDataset(pairs, 3, 32, AUGMENTATIONS[name])
    torch.manual_seed(3)
    first, following = data[0, 5], torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(following, torch.rand(1))  # the caller's randomness is left alone
    again = data[0, 5]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(data[0, 6][0], first[0])


def test_draws_are_mixed_by_weight_and_begin_with_the_last_source():
    draws = [index for index, _ in MixedDraws([2, 3], [1, 3], 400, seed=0, only_last=40)]
    assert set(draws[:40]) == {2, 3, 4}
    share = sum(index >= 2 for index in draws[40:]) / 360
    assert share == pytest.approx(0.75, abs=0.07)  # 3 deviations of 360 draws
    counts = [draws.count(index) for index in range(5)]
    assert max(counts[:2]) - min(counts[:2]) <= 1 and max(counts[2:]) - min(counts[2:]) <= 1
    assert draws == [index for index, _ in MixedDraws([2, 3], [1, 3], 400, seed=0, only_last=40)]
    assert {index for index, _ in MixedDraws([2, 3], [0, 1], 50, seed=0)} == {2, 3, 4}
    seeds = [seed for _, seed in MixedDraws([2, 3], [1, 1], 400, seed=0)]
    assert len(set(seeds)) == 400


def test_pairs_of_several_folders_are_one_list(tmp_path):
    zeros = np.zeros((4, 4))
    first = write_pairs(tmp_path / "a", [zeros] * 2, [zeros] * 2)
    second = write_pairs(tmp_path / "b", [zeros], [zeros + 2])
    folders = [tmp_path / "a", tmp_path / "b"]
    images, masks = ([folder / kind for folder in folders] for kind in ("images", "masks"))
    pairs = gather_pairs(images, masks, num_classes=3)
    assert pairs == [*first, *second]
    assert read_target(pairs[2].condition, 3).tolist() == [[2] * 4] * 4
    with pytest.raises(ValueError, match="00.png"):
        gather_pairs(images, masks, num_classes=2)


def test_a_run_that_is_not_complete_is_told(tmp_path):
    write_pairs(tmp_path, *blobs(3, 0))
    folders = [[tmp_path / "images"], [tmp_path / "masks"], 3]
    state = tmp_path / "generate_state.json"
    for copies, told in (([1, 2], False), ([2, 2], True), ([], False)):  # [] in older versions
        state.write_text(json.dumps({"copies": copies}))
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            gather_pairs(*folders)
        message = f"{tmp_path}/images: 3 of the 4 images of this run. Unless you"
        assert [str(n.message).startswith(message) for n in notices] == [True] * told


def test_pairs_at_another_pixel_size(tmp_path):
    mask = np.arange(64).reshape(8, 8).astype(np.uint8) % 3
    pairs = write_pairs(tmp_path, [mask * 100], [mask])
    write_json(pairs[0].image.parent / VOLUME, {"pixel_size_nm": [4, 4]})
    (resampling,) = find_resamplings(pairs, 8).values()
    image = read_input(pairs[0].image, resampling)[0]
    means = torch.from_numpy(mask * 100 / 255).reshape(4, 2, 4, 2).mean(dim=(1, 3)).float()
    assert torch.allclose(image, means, atol=1e-5)
    assert read_target(pairs[0].condition, 3, resampling).tolist() == mask[1::2, 1::2].tolist()
    data = SegmentationDataset(pairs, 3, 4, AUGMENTATIONS["basic"], 8)
    assert data._read(0)[0].shape == (1, 4, 4) and data._read(0)[1].shape == (4, 4)
    with pytest.raises(OptionError, match="does not say"):
        (pairs[0].image.parent / VOLUME).unlink()
        find_resamplings(pairs, 8)
