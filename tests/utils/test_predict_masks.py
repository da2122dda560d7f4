"""The program that writes predicted masks: files, pixel sizes and refusals."""

import json

import pytest

from conditions.pairs import find_pairs
from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.imaging.labels import read_labels
from core.notices import Notice
from tests.blobs import untaught, write_blobs
from utils import predict_masks


@pytest.fixture
def checkpoint(tmp_path):
    return untaught(tmp_path / "s.ckpt")


@pytest.fixture
def images(tmp_path):
    return write_blobs(tmp_path / "images")


def test_pairs_picture_and_line(checkpoint, images, tmp_path, capsys):
    out = tmp_path / "out"
    other = untaught(tmp_path / "other.ckpt", seed=1)
    words = [checkpoint, other, images, out, "--copy_images", "--min_confidence", "1"]
    with pytest.warns(Notice, match="z0.png: all pixels are marked with 255, as in 3 of 3 masks"):
        predict_masks.main([str(word) for word in words])
    pairs = find_pairs(out / "images", out / "masks")
    assert len(pairs) == 3 and (out / "overview.png").exists()
    for pair in pairs:
        assert (read_labels(pair.condition) == 255).all()
        assert pair.image.read_bytes() == (images / pair.image.name).read_bytes()
    assert "3 masks, 100.0% of their pixels ignored" in capsys.readouterr().out


def test_the_pixel_size_goes_with_the_masks(checkpoint, images, tmp_path):
    write_json(images / VOLUME, {"pixel_size_nm": [10, 10]})
    with pytest.warns(Notice, match="0.5 times as many pixels"):
        predict_masks.main([str(checkpoint), str(images), str(tmp_path / "out"), "--copy_images"])
    for part in ("masks", "images"):
        written = json.loads((tmp_path / "out" / part / VOLUME).read_text())
        assert written == {"pixel_size_nm": [10, 10]}


def test_bad_input_is_one_line(checkpoint, images, tmp_path, error_line):
    def fails(*words):
        return error_line(predict_masks.main, *words)

    out = tmp_path / "out"
    assert "none.ckpt: no such segmenter" in fails(tmp_path / "none.ckpt", images, out)
    assert "--min_confidence" in fails(checkpoint, images, out, "--min_confidence", "1.5")
    assert "exists already" in fails(checkpoint, images, tmp_path)
    assert not out.exists()
