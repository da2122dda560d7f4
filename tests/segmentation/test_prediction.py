"""Masks that segmenters predict for a folder of images."""

import numpy as np
import pytest

from core.imaging.images import write_png
from core.imaging.labels import read_labels
from core.notices import Notice
from segmentation.data import read_input
from segmentation.network import load_segmenter, predict_probabilities
from segmentation.prediction import find_images, load_segmenters, predict_mask, write_masks
from tests.blobs import OneHot, untaught, write_blobs


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A segmenter whose answers change with every turn and flip."""
    return load_segmenter(untaught(tmp_path_factory.mktemp("segmenter") / "s.ckpt"))


@pytest.fixture
def images(tmp_path):
    return write_blobs(tmp_path / "images")


def test_images_below_the_least_side_are_warned_of(images):
    assert len(find_images(images)) == 3
    write_png(images / "strip.png", np.zeros((20, 2000), np.uint8))
    with pytest.warns(Notice, match="strip.png: 2000 x 20 pixels .*, one of 1 images with a side"):
        assert len(find_images(images)) == 4


def test_masks_are_the_most_probable_classes(images, tmp_path):
    """The segmenter is a rule, so the answer is known: the class of the nearest level."""
    (tmp_path / "out").mkdir()
    assert write_masks([OneHot()], find_images(images), tmp_path / "out") == 0
    for path in images.iterdir():
        expected = (read_labels(path) / 255 * 2).round()
        assert (read_labels(tmp_path / "out/masks" / path.name) == expected).all()
    assert (tmp_path / "out/overview.png").exists()


def test_a_turned_image_has_the_turned_mask(model, images):
    """The eight views of a turned image are those of the image itself, up to rounding."""
    picture = read_labels(images / "z1.png").astype(np.uint8)
    write_png(images / "turned.png", np.ascontiguousarray(np.rot90(picture)[:, ::-1]))
    mask, turned = (
        predict_mask([model], images / f"{name}.png", None) for name in ("z1", "turned")
    )
    assert len(np.unique(mask)) > 1
    assert (np.rot90(mask)[:, ::-1] == turned).mean() > 0.999


def test_several_segmenters_decide_together(model, images, tmp_path):
    other = load_segmenter(untaught(tmp_path / "other.ckpt", seed=1))
    for path in images.iterdir():
        image = read_input(path)
        first, second = (predict_probabilities(each, image) for each in (model, other))
        expected = (first + second).argmax(dim=0)  # (H, W)
        assert (predict_mask([model, other], path, None) == expected.numpy()).all()
        assert (expected != first.argmax(dim=0)).any()


def test_doubtful_pixels_are_marked(model, images):
    path = images / "z0.png"
    confidence = predict_probabilities(model, read_input(path)).amax(dim=0)  # (H, W)
    every, sure = (predict_mask([model], path, x) for x in (None, float(confidence.median())))
    assert (sure == 255).mean() == pytest.approx(0.5, abs=0.01)
    assert (every[sure != 255] == sure[sure != 255]).all()


def test_segmenters_of_other_classes_are_refused(images, tmp_path):
    three, two = untaught(tmp_path / "three.ckpt"), untaught(tmp_path / "two.ckpt", classes=2)
    with pytest.raises(ValueError, match=r"two.ckpt: 2 classes, but .*three.ckpt has 3"):
        load_segmenters([three, two], "cpu", images)


def test_images_of_one_stem_are_refused(images):
    write_png(images / "z0.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(RuntimeError, match=r"z0.png and .*z0.tif share a stem"):
        find_images(images)
