"""The segmenter's network and checkpoint: image sizes, a round trip, files that are refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from segmentation.folders import TrainingPairs
from segmentation.network import load_segmenter, predict, predict_probabilities, save_segmenter
from segmentation.options import SegmenterOptions
from segmentation.training import train_segmenter
from tests.blobs import write_pairs


def test_probabilities_add_up(trained):
    result = predict_probabilities(trained, torch.rand(1, 33, 45))
    assert result.shape == (3, 33, 45)
    torch.testing.assert_close(result.sum(dim=0), torch.ones(33, 45), atol=1e-5, rtol=0)


def test_any_image_size(trained, tmp_path):
    for height, width in ((33, 70), (1, 5), (64, 32)):
        labels = predict(trained, torch.rand(1, height, width))
        assert labels.shape == (height, width)
    image = torch.rand(1, 64, 96, generator=torch.Generator().manual_seed(1))
    odd = predict(trained, image[:, :61, :90])
    same = odd[:32, :32] == predict(trained, image)[:32, :32]
    assert same.float().mean() > 0.9  # far from the seam nothing changes
    small = write_pairs(tmp_path, [np.full((9, 50), 60)] * 2, [np.zeros((9, 50))] * 2)
    # Both sides are smaller than the crop.
    train_segmenter(TrainingPairs(small), 2, 1, SegmenterOptions(batch_size=2, image_size=64))


def test_round_trip_gives_identical_predictions(trained, tmp_path):
    path = tmp_path / "seg.ckpt"
    save_segmenter(path, trained, {"note": "test", "val": {"miou": 0.5}})
    again = load_segmenter(path)
    assert again.meta == {"note": "test", "val": {"miou": 0.5}}
    assert again.architecture["num_classes"] == 3
    image = torch.rand(1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(image[None]), trained(image[None]))
    with pytest.raises(FileExistsError, match="exists already.*overwrite"):
        save_segmenter(path, trained, {})
    save_segmenter(path, trained, {"note": "new"}, overwrite=True)
    assert load_segmenter(path).meta == {"note": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["seg.ckpt"]


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap_was_sprung",)


def test_refuses_files_that_are_no_segmenter(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_segmenter("good.ckpt", trained, {})
    Path("text.ckpt").write_text("hello")
    Path("empty.ckpt").touch()
    Path("short.ckpt").write_bytes(Path("good.ckpt").read_bytes()[:5000])
    torch.save({"state_dict": {}}, "other.ckpt")
    torch.save([1], "list.ckpt")
    content = torch.load("good.ckpt", weights_only=True)
    content["state_dict"].popitem()
    torch.save(content, "incomplete.ckpt")
    torch.save(content | {"architecture": {"coder": "x"}}, "vague.ckpt")
    torch.save({"format": Trap()}, "trap.ckpt")
    Path("pickle.ckpt").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name, error, cause in (
        ("text", ValueError, "cannot be read as a checkpoint"),
        ("empty", ValueError, "cannot be read as a checkpoint"),
        ("short", ValueError, "cannot be read as a checkpoint"),
        ("other", ValueError, "no segmenter"),
        ("list", ValueError, "no segmenter"),
        ("vague", ValueError, "damaged description .*coder"),
        ("incomplete", RuntimeError, "1 tensors missing"),
        ("trap", ValueError, "refused, loading it would run code"),
        ("pickle", ValueError, "refused, loading it would run code"),
    ):
        with pytest.raises(error, match=f"{name}.ckpt: .*{cause}") as caught:
            load_segmenter(f"{name}.ckpt")
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load_segmenter("missing.ckpt")
    assert not Path("trap_was_sprung").exists()
