"""The judge of generated pairs, with a segmenter whose logits are known."""

import numpy as np
import pytest
import torch

from conditions import ConditionOptions, create_condition
from segmentation import judge as module
from segmentation.judge import Judge, judge_of
from segmentation.network import build_segmenter, save_segmenter
from tests.blobs import OneHot, write_pairs

LABELS = np.array([[0, 0, 1, 1], [0, 0, 2, 2]])


@pytest.fixture
def judge(tmp_path, monkeypatch):
    model = OneHot()
    model.architecture = {"num_classes": 3}
    monkeypatch.setattr(module, "load_segmenter", lambda path: model)
    return Judge(tmp_path / "seg.ckpt", 3)


def picture_of(labels):
    """Grey levels 0, 127 and 255 for the classes 0, 1 and 2."""
    return np.repeat((labels * 127.5).astype(np.uint8)[..., None], 3, axis=2)


def test_agreement_is_the_mean_iou_of_the_masks_classes(judge):
    assert judge.agreement(picture_of(LABELS), LABELS) == 1
    wrong = LABELS.copy()
    wrong[1, 3] = 0  # one of two pixels of class 2 looks like class 0
    expected = np.mean([4 / 5, 1, 1 / 2])
    assert judge.agreement(picture_of(wrong), LABELS) == pytest.approx(expected)


def test_counts_are_those_of_every_class(judge):
    wrong = LABELS.copy()
    wrong[1, 3] = 0
    # Classes:                                                 0  1  2
    assert judge.counts(picture_of(wrong), LABELS).tolist() == [[4, 2, 1], [5, 2, 2]]


def test_pixels_that_contradict_their_class_are_doubtful(judge, tmp_path):
    """Real pairs agree everywhere, so a pixel that looks like another class exceeds their mean."""
    pairs = write_pairs(tmp_path, [LABELS * 127.5], [LABELS])
    losses = judge.class_losses(pairs)
    outer, middle = (
        -float(torch.tensor(logits).log_softmax(0)[0])  # the first logit is that of the class
        for logits in ([0.0, -0.5, -1.0], [0.0, -0.5, -0.5])
    )
    assert losses == pytest.approx([outer, middle, outer], abs=0.01)
    wrong = LABELS.copy()
    wrong[1, 3] = 0
    doubtful = judge.doubtful(picture_of(wrong), LABELS, losses, 1.25)
    assert np.argwhere(doubtful).tolist() == [[1, 3]]
    assert not judge.doubtful(picture_of(LABELS), LABELS, losses, 1.25).any()
    # A mask costs what its pixels' classes cost: the mean over the pixels.
    shares = [(LABELS == label).mean() for label in range(3)]
    assert judge.hardness(LABELS, losses) == pytest.approx(np.dot(shares, losses))
    unknown = np.array([0.5, np.inf, 0.2])
    assert judge.hardness(LABELS, unknown) == pytest.approx(np.dot(shares, [0.5, 0.5, 0.2]))
    # Of a class that no real pair shows, nothing is known, and nothing is ignored.
    only = judge.class_losses(write_pairs(tmp_path / "b", [LABELS * 0], [LABELS * 0]))
    assert np.isinf(only[1:]).all()


def test_a_segmenter_of_other_classes_is_refused(tmp_path):
    path = tmp_path / "seg.ckpt"
    save_segmenter(path, build_segmenter(2), {})
    with pytest.raises(ValueError, match=r"seg.ckpt: a segmenter of 2 classes, the masks have 3"):
        Judge(path, 3)
    with pytest.raises(ValueError, match="cannot judge edge conditions"):
        judge_of(path, create_condition("edge", ConditionOptions(3)))
    assert judge_of(None, create_condition("edge", ConditionOptions(3))) is None
