"""A training that ends in a checkpoint, which no other one may spoil."""

import pytest
import torch

from core.recording.run_lock import RunLock
from segmentation.folders import TrainingPairs
from segmentation.network import load_segmenter
from segmentation.options import SegmenterOptions
from segmentation.saving import train_to_file

OPTIONS = SegmenterOptions(batch_size=2, image_size=32, validations=1)


def train(path, pairs):
    meta = {"note": "x"}
    return train_to_file(
        path, pairs, 3, 1, OPTIONS, device=torch.device("cpu"), pixel_side=None, meta=meta
    )


def test_the_checkpoint_holds_scores_and_notes(sets, tmp_path):
    path = tmp_path / "new" / "s.ckpt"
    scored = train(path, TrainingPairs(sets[0][:2], sets[1][:2]))
    meta = load_segmenter(path).meta
    assert meta["note"] == "x" and meta["val"]["miou"] == scored["miou"]
    assert meta["val_curve"] == [[1, pytest.approx(scored["miou"])]]
    assert train(tmp_path / "t.ckpt", TrainingPairs(sets[0][:2])) is None
    assert "val" not in load_segmenter(tmp_path / "t.ckpt").meta


def test_a_file_that_exists_or_is_in_the_making_is_refused(sets, tmp_path):
    pairs = TrainingPairs(sets[0][:2])
    taken, wanted = tmp_path / "taken.ckpt", tmp_path / "wanted.ckpt"
    taken.touch()
    with pytest.raises(FileExistsError, match="taken.ckpt"):
        train(taken, pairs)
    lock = RunLock.of_file(wanted, "training a segmenter")
    lock.acquire()
    with pytest.raises(RuntimeError, match="is training a segmenter here"):
        train(wanted, pairs)
    lock.close()
    assert not wanted.exists()
