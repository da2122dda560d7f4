"""Scores against figures that are counted by hand."""

import numpy as np
import pytest
import torch

from segmentation.network import build_segmenter
from segmentation.scoring import draw_rows, other_masks, score
from tests.blobs import OneHot, write_pairs


def test_learns_blobs_and_shuffled_masks_score_lower(trained, sets):
    result = score(trained, sets[1], 3, shuffled=True)
    assert result["miou"] > 0.85
    assert result["miou_shuffled"] < 0.5 * result["miou"]
    assert result["images"] == 8
    untrained = score(build_segmenter(3), sets[1], 3)
    assert untrained["miou"] < 0.5


def test_score_is_what_counting_by_hand_gives(tmp_path):
    """First image: 3 of 4 pixels right; second: class 1 throughout, right. Class 2 never occurs."""
    images = [[[0, 0], [128, 128]], [[128, 128]]]
    masks = [[[0, 1], [1, 1]], [[1, 1]]]
    pairs = write_pairs(tmp_path, images, masks)
    result = score(OneHot(), pairs, 3)
    # Pooled over both images.
    assert result["iou"] == [pytest.approx(1 / 2), pytest.approx(4 / 5), None]
    assert result["miou"] == pytest.approx((1 / 2 + 4 / 5) / 2)  # the absent class is left out


def test_a_class_that_no_mask_shows_is_left_out_though_it_is_predicted(tmp_path):
    """Else the mean of one segmenter would be over other classes than that of the next."""
    pairs = write_pairs(tmp_path, [[[0, 0, 0, 128], [128, 128, 128, 255]]], [[[0] * 4, [1] * 4]])
    result = score(OneHot(), pairs, 3)
    assert result["iou"] == [pytest.approx(3 / 4), pytest.approx(3 / 5), None]
    assert result["miou"] == pytest.approx((3 / 4 + 3 / 5) / 2)


def test_masks_of_turns_and_flips_are_scored_where_that_is_asked(tmp_path):
    """A segmenter that finds class 1 in the upper half alone finds it nowhere by majority."""

    class Upper(OneHot):
        def forward(self, x):
            upper = torch.linspace(1, -1, x.shape[2])[:, None].expand(x.shape[2:])  # (H, W)
            return torch.stack([0 * upper + 0.01, upper, 0 * upper - 9])[None]  # (1, 3, H, W)

    mask = np.repeat(np.arange(32)[:, None] < 16, 32, axis=1)
    pairs = write_pairs(tmp_path, [mask * 0], [mask])
    assert score(Upper(), pairs, 3)["iou"] == [1, 1, None]
    assert score(Upper(), pairs, 3, turned=True)["iou"] == [0.5, 0, None]


def test_perfect_and_shuffled_scores_by_hand(tmp_path):
    masks = [np.full((2, 2), i) for i in (0, 0, 1)]  # two images of one mask
    pairs = write_pairs(tmp_path, [mask * 127.5 for mask in masks], masks)
    result = score(OneHot(), pairs, 3, shuffled=True)
    assert (result["miou"], result["iou"]) == (1, [1, 1, None])
    # The equal mask is no other mask.
    assert (result["miou_shuffled"], result["iou_shuffled"]) == (0, [0, 0, None])


def test_other_masks_have_equal_size_and_other_content(tmp_path):
    masks = [np.zeros((4, 4)), np.zeros((4, 4)), np.ones((4, 4)), np.ones((4, 6))]
    pairs = write_pairs(tmp_path, masks, masks)
    names = [[path.name for path in others] for others in other_masks(pairs)]
    assert names == [["02.png"], ["02.png"], ["00.png", "01.png"], []]
    many = [np.full((2, 2), i) for i in range(40)]
    others = other_masks(write_pairs(tmp_path / "many", many, many))
    assert {len(paths) for paths in others} == {8}
    for same in (pairs[:1], pairs[:2]):
        with pytest.raises(ValueError, match="need at least two different masks"):
            other_masks(same)
    with pytest.raises(ValueError, match="no image"):
        score(OneHot(), [], 3)


def test_picture_shows_image_mask_and_prediction(tmp_path):
    mask = np.array([[0, 1], [2, 2]])
    pairs = write_pairs(tmp_path, [[[0, 128], [255, 0]], [[0]]], [mask, [[2]]])
    picture = draw_rows(OneHot(), pairs, 3)
    assert picture[:2].tolist() == [[0, 128, 0, 128, 0, 128], [255, 0, 255, 255, 255, 0]]
    # The second, narrower row is filled up with white.
    assert picture[4].tolist() == [0, 255, 0, 255, 255, 255]
