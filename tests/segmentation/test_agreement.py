"""Agreement of pictures with masks, of a segmenter whose predictions are known."""

import numpy as np
import pytest

from conditions import ConditionOptions, create_condition
from segmentation import agreement
from segmentation.network import build_segmenter, save_segmenter
from tests.blobs import OneHot


@pytest.fixture
def masks():
    return create_condition("segmentation", ConditionOptions(3))


def test_counts_are_those_of_all_pictures_together(masks, tmp_path, monkeypatch):
    model = OneHot()
    model.architecture = {"num_classes": 3}
    monkeypatch.setattr(agreement, "load_segmenter", lambda path: model)
    score = agreement.load_score(tmp_path / "seg.ckpt", masks)
    labels = np.array([[[0, 1], [2, 2]], [[1, 1], [1, 1]]])  # (2, 2, 2)
    pictures = np.repeat((labels * 127)[..., None], 3, axis=3).astype(np.uint8)
    pictures[0, 1, 1] = 0  # a pixel of class 2 that looks like 0
    # Classes:                                         0  1  2
    assert score(pictures, labels).tolist() == [[1, 5, 1], [2, 5, 2]]


def test_segmenters_that_cannot_judge_are_refused(masks, tmp_path):
    assert agreement.load_score(None, masks) is None
    path = tmp_path / "seg.ckpt"
    save_segmenter(path, build_segmenter(2), {})
    with pytest.raises(ValueError, match=r"seg.ckpt: a segmenter of 2 classes, the masks have 3"):
        agreement.load_score(path, masks)
    with pytest.raises(ValueError, match="cannot judge edge conditions"):
        agreement.load_score(path, create_condition("edge", ConditionOptions(3)))
