"""Masks that a segmenter predicts for a folder of images."""

import json

import numpy as np
import pytest
import torch

from conditions.pairs import find_pairs
from core.files import write_json
from core.imaging.images import read_labels, write_png
from core.imaging.pixel_size import VOLUME
from core.notices import Notice
from segmentation.data import read_input
from segmentation.network import (
    build_segmenter,
    load_segmenter,
    predict_probabilities,
    save_segmenter,
)
from tests.blobs import OneHot, blobs
from utils import predict_masks


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A segmenter that nothing was taught: its answers change with every turn and flip."""
    path = tmp_path_factory.mktemp("segmenter") / "s.ckpt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_segmenter(path, build_segmenter(3), {"pixel_size_nm": [5, 5]})
    return path


@pytest.fixture
def other(tmp_path):
    """A second one, of other weights; and one of two classes."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_segmenter(tmp_path / "other.ckpt", build_segmenter(3), {"pixel_size_nm": [5, 5]})
        save_segmenter(tmp_path / "two.ckpt", build_segmenter(2), {})
    return tmp_path / "other.ckpt"


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, picture in enumerate(blobs(3, 0, size=40)[0]):
        write_png(folder / f"z{i}.png", picture.astype(np.uint8)[:, : 40 - i])
    return folder


def test_masks_are_the_most_probable_classes(images, tmp_path, monkeypatch, capsys):
    """The segmenter is a rule, so the answer is known: the class of the nearest level."""
    monkeypatch.setattr("segmentation.network.load_segmenter", lambda *_: model)
    model = OneHot()
    model.architecture, model.meta = {"num_classes": 3}, {}
    predict_masks.main([str(tmp_path / "s.ckpt"), str(images), str(tmp_path / "out")])
    for path in images.iterdir():
        expected = (read_labels(path) / 255 * 2).round()
        assert (read_labels(tmp_path / "out/masks" / path.name) == expected).all()
    assert "3 masks, 0.0% of their pixels ignored" in capsys.readouterr().out
    assert (tmp_path / "out/overview.png").exists()


def test_a_turned_image_has_the_turned_mask(checkpoint, images, tmp_path):
    """The eight views of a turned image are those of the image itself, up to rounding."""
    picture = read_labels(images / "z1.png").astype(np.uint8)
    write_png(images / "turned.png", np.ascontiguousarray(np.rot90(picture)[:, ::-1]))
    predict_masks.main([str(checkpoint), str(images), str(tmp_path / "out")])
    mask, turned = (read_labels(tmp_path / f"out/masks/{n}.png") for n in ("z1", "turned"))
    assert len(np.unique(mask)) > 1
    assert (np.rot90(mask)[:, ::-1] == turned).mean() > 0.999


def test_several_segmenters_decide_together(checkpoint, other, images, tmp_path):
    out = tmp_path / "out"
    predict_masks.main([str(checkpoint), str(other), str(images), str(out), "--copy_images"])
    models = [load_segmenter(path) for path in (checkpoint, other)]
    pairs = find_pairs(out / "images", out / "masks")
    assert len(pairs) == 3
    for pair in pairs:
        image = read_input(pair.image)
        first, second = (predict_probabilities(model, image) for model in models)
        expected = (first + second).argmax(dim=0)  # (H, W)
        assert (read_labels(pair.condition) == expected.numpy()).all()
        assert (expected != first.argmax(dim=0)).any()
        assert pair.image.read_bytes() == (images / pair.image.name).read_bytes()


def test_doubtful_pixels_are_marked(checkpoint, images, tmp_path):
    model = load_segmenter(checkpoint)
    confidence = predict_probabilities(model, read_input(images / "z0.png")).amax(dim=0)  # (H, W)
    median = str(float(confidence.median()))
    for name, least in (("all", []), ("sure", ["--min_confidence", median])):
        predict_masks.main([str(checkpoint), str(images), str(tmp_path / name), *least])
    for path in images.iterdir():
        every, sure = (read_labels(tmp_path / n / "masks" / path.name) for n in ("all", "sure"))
        if path.name == "z0.png":
            assert (sure == 255).mean() == pytest.approx(0.5, abs=0.01)
        assert (every[sure != 255] == sure[sure != 255]).all()


def test_probabilities_add_up(checkpoint):
    model = load_segmenter(checkpoint)
    result = predict_probabilities(model, torch.rand(1, 33, 45))
    assert result.shape == (3, 33, 45)
    torch.testing.assert_close(result.sum(dim=0), torch.ones(33, 45), atol=1e-5, rtol=0)


def test_the_pixel_size_goes_with_the_masks(checkpoint, images, tmp_path):
    write_json(images / VOLUME, {"pixel_size_nm": [10, 10]})
    with pytest.warns(Notice, match="0.5 times as many pixels"):
        predict_masks.main([str(checkpoint), str(images), str(tmp_path / "out"), "--copy_images"])
    for part in ("masks", "images"):
        written = json.loads((tmp_path / "out" / part / VOLUME).read_text())
        assert written == {"pixel_size_nm": [10, 10]}


def test_bad_input_is_one_line(checkpoint, other, images, tmp_path, error_line):
    def fails(*words):
        return error_line(predict_masks.main, *words)

    out = tmp_path / "out"
    assert "none.ckpt: no such segmenter" in fails(tmp_path / "none.ckpt", images, out)
    assert "--min_confidence" in fails(checkpoint, images, out, "--min_confidence", "1.5")
    assert "exists already" in fails(checkpoint, images, tmp_path)
    two = tmp_path / "two.ckpt"
    assert f"{two}: 2 classes, but {other} has 3" in fails(other, checkpoint, two, images, out)
    write_png(images / "z0.tif", np.zeros((8, 8), np.uint8))
    line = fails(checkpoint, images, out)
    assert "z0.tif" in line and "z0.png" in line
    assert not out.exists()
