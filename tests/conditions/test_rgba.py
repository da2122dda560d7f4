"""RGBA tensors: exact values from every way to store them, and files that are refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conditions import ConditionOptions
from conditions.rgba import RGBA, read_meta, read_rgba, write_rgba
from conditions.segmentation import one_hot
from core.imaging.images import write_png
from core.samples import SampleKey
from dataset import MyDataset
from tests.picture_files import blocks, touch, write


@pytest.fixture
def rgba():
    """Asymmetric (H, W, 4) in {0, 1}: three class planes and a sparse edge map."""
    labels = blocks((64, 48))
    labels[:20] = 0  # classes of unequal size, no symmetry
    alpha = np.zeros((64, 48, 1), np.float32)
    alpha[5, :7] = alpha[40:43, 11] = 1
    return np.concatenate([one_hot(labels, 3), alpha], axis=2)


# Files


def test_folders_hold_npz_or_pictures(tmp_path):
    folder = touch(tmp_path / "r", "a_2.npz", "a_2.png", "a_10.npz", "a_1.png")
    names = [path.name for path in RGBA().list_files(folder)]
    assert names == ["a_1.png", "a_2.npz", "a_10.npz"]


def test_tensors_may_stand_in_one_folder_named_after_two_thresholds(tmp_path):
    folder = touch(tmp_path / "50_150", "a.npz")
    assert RGBA().list_files(tmp_path) == [folder / "a.npz"]
    touch(tmp_path / "100_200", "a.npz")
    with pytest.raises(FileNotFoundError, match=r"2 folders of tensors \(100_200, 50_150\)"):
        RGBA().list_files(tmp_path)
    touch(tmp_path, "b.npz")  # files beside the folders win
    assert RGBA().list_files(tmp_path) == [tmp_path / "b.npz"]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("value_range", ["neg_one_to_one", "zero_one"])
def test_npz_value_ranges_are_exact(tmp_path, rgba, value_range, declared):
    stored = rgba * 2 - 1 if value_range == "neg_one_to_one" else rgba
    extra = {"meta": json.dumps({"value_range": value_range, "canny_low": 100})} if declared else {}
    np.savez_compressed(tmp_path / "a.npz", rgba=stored, **extra)
    hint = RGBA().read_hint(tmp_path / "a.npz")
    assert hint.dtype == np.float32
    assert hint.shape[2] == RGBA().hint_channels == 4
    assert np.array_equal(hint, rgba)


def test_npz_of_bytes_is_scaled(tmp_path, rgba):
    np.savez(tmp_path / "a.npz", rgba=(rgba * 255).astype(np.uint8))
    assert np.array_equal(read_rgba(tmp_path / "a.npz"), rgba)


def test_png_equals_npz_and_keeps_the_channel_order(tmp_path, rgba):
    meta = json.dumps({"value_range": "neg_one_to_one"})
    np.savez(tmp_path / "a.npz", rgba=rgba * 2 - 1, meta=meta)
    Image.fromarray((rgba * 255).astype(np.uint8), mode="RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_rgba(tmp_path / "a.png"), rgba)
    assert np.array_equal(read_rgba(tmp_path / "a.png"), read_rgba(tmp_path / "a.npz"))
    assert not np.array_equal(rgba[..., 0], rgba[..., 2])  # else B, G, R would pass too


@pytest.mark.parametrize(("scale", "edge"), [(0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (4.0, 1.0)])
def test_alpha_scale_is_clipped_and_leaves_the_classes(tmp_path, rgba, scale, edge):
    rgba[..., 3] *= 0.5
    np.savez(tmp_path / "a.npz", rgba=rgba)
    scaled = RGBA(ConditionOptions(rgba_alpha_scale=scale)).read_hint(tmp_path / "a.npz")
    assert scaled[..., 3].max() == edge
    assert np.array_equal(scaled[..., :3], rgba[..., :3])


# Files that are refused


class Evil:
    """An object whose unpickling leaves a file."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle_ran"),))


def test_pickles_never_run(tmp_path, monkeypatch, rgba):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "array.npz", rgba=np.array([Evil()], dtype=object))
    np.savez(tmp_path / "meta.npz", rgba=rgba, meta=np.array({"value_range": Evil()}, dtype=object))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("array", "meta", "raw"):
        expected = rf"{name}.npz: not an archive of numbers.*Build it again"
        with pytest.raises(ValueError, match=expected):
            read_rgba(tmp_path / f"{name}.npz")
    assert not (tmp_path / "pickle_ran").exists()


def test_broken_npz_is_named(tmp_path, rgba):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, rgba=rgba)
    whole = path.read_bytes()
    bad_header = whole[:60] + b"\0\0\0\0" + whole[64:]
    for data in (b"", b"text", whole[:100], whole[: len(whole) // 2], bad_header):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="a.npz: not an archive"):
            read_rgba(path)
    with pytest.raises(FileNotFoundError):
        read_rgba(tmp_path / "none.npz")


def test_npz_of_other_content_is_refused(tmp_path, rgba):
    path = tmp_path / "a.npz"
    zero_one, neg_one_to_one, unknown = (
        json.dumps({"value_range": name}) for name in ("zero_one", "neg_one_to_one", "bytes")
    )
    for arrays, expected in (
        ({"other": rgba}, "with the key 'rgba'"),
        ({"rgba": rgba[..., :3]}, r"float32 \(64, 48, 3\), expected numbers \(H, W, 4\)"),
        ({"rgba": rgba, "meta": "{"}, "not an archive"),
        ({"rgba": rgba, "meta": "[1]"}, "not an archive"),
        ({"rgba": rgba, "meta": unknown}, "value_range 'bytes', expected"),
        ({"rgba": rgba * 2 - 1, "meta": zero_one}, "do not fit value_range zero_one"),
        ({"rgba": rgba * 255, "meta": neg_one_to_one}, "do not fit value_range neg_one_to_one"),
        ({"rgba": rgba * np.nan}, "do not fit"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=expected):
            read_rgba(path)


@pytest.mark.parametrize("planes", ["grey", "0 and 1 in 8 bits"])
def test_a_picture_that_holds_no_class_planes_is_refused(tmp_path, rgba, planes):
    pixels = rgba.astype(np.uint8)
    if planes == "grey":  # a micrograph with an opaque alpha
        pixels = np.full((64, 48, 4), 255, np.uint8)
        pixels[..., :3] = np.arange(64)[:, None, None] * 4
    write_png(tmp_path / "a.png", pixels)
    with pytest.raises(ValueError, match="a.png: R, G and B add up to something else than 1 in"):
        read_rgba(tmp_path / "a.png")
    write_png(tmp_path / "a.png", (rgba * 255).astype(np.uint8))
    few = rgba.copy()
    few[:2, :, :3] = 0  # pixels of no class
    write_rgba(tmp_path / "b.npz", few, "{}")
    read_rgba(tmp_path / "a.png"), read_rgba(tmp_path / "b.npz")


def test_three_channel_picture_is_no_rgba(tmp_path):
    with pytest.raises(ValueError, match=r"a.png: 3 channel\(s\), expected four"):
        read_rgba(write(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8)))


def test_four_classes_do_not_fit():
    with pytest.raises(ValueError, match="num_classes: 4, but an RGBA tensor has 3 class planes"):
        RGBA(ConditionOptions(num_classes=4))
    assert RGBA(ConditionOptions(num_classes=2)).hint_channels == 4


# Hints and pictures


def test_edges_are_interpolated_and_classes_are_not(tmp_path, rgba):
    np.savez(tmp_path / "a.npz", rgba=rgba)
    layers = RGBA().read(tmp_path / "a.npz")
    assert np.array_equal(layers.smooth, rgba[..., 3:])
    assert np.array_equal(layers.classes, rgba[..., :3])
    assert np.array_equal(RGBA().to_hint(layers), rgba)


def test_pictures_show_edges_on_white_and_in_the_preview_on_classes():
    """Four pixels: classes 0, 1, 2 without an edge, and class 1 with one."""
    planes = one_hot(np.array([[0, 1, 2, 1]]), 3)
    hint = np.concatenate([planes, [[[0], [0], [0], [1]]]], axis=2).astype(np.float32)
    condition = RGBA()
    pictures = condition.pictures("any", hint)
    assert condition.folders("any") == ("rgba_edge_vis", "rgba_mask")
    assert condition.label_folders("any") == ("rgba_mask",)
    assert pictures["rgba_edge_vis"].tolist() == [[[255] * 3, [255] * 3, [255] * 3, [0, 114, 178]]]
    assert pictures["rgba_mask"].tolist() == [[0, 1, 2, 1]]
    assert condition.labels(hint).tolist() == [[0, 1, 2, 1]]
    colours = [[0, 0, 0], [0, 114, 178], [240, 228, 66], [255, 255, 255]]
    assert condition.preview(hint).tolist() == [colours]


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("suffix", ["npz", "png"])
def test_class_planes_survive_an_empty_alpha(tmp_path, rgba, augment, suffix):
    """The published code resized a Pillow RGBA picture; about 2 % of the pixels kept a class."""
    write(tmp_path / "images/a.png", np.zeros((64, 48), np.uint8))
    path = tmp_path / "rgba" / f"a.{suffix}"
    path.parent.mkdir()
    if suffix == "npz":
        np.savez(path, rgba=rgba * 2 - 1, meta='{"value_range": "neg_one_to_one"}')
    else:
        Image.fromarray((rgba * 255).astype(np.uint8), mode="RGBA").save(path)
    folders = tmp_path / "images", tmp_path / "rgba"
    data = MyDataset(*folders, augment=augment, condition_type="rgba", image_size=40)
    alphas = []
    for seed in range(20):
        hint = data[SampleKey(0, seed)].hint
        planes, alpha = hint[..., :3], hint[..., 3]
        assert hint.shape == (40, 40, 4)
        assert torch.equal(planes.sum(dim=2), torch.ones(40, 40))
        assert set(planes.unique().tolist()) <= {0.0, 1.0}
        assert hint.min() >= 0
        assert hint.max() <= 1
        alphas.append(alpha.mean().item())
    assert 0 < np.mean(alphas) < 0.1


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_a_note_comes_back_from_either_format(tmp_path, rgba, kind):
    path = tmp_path / f"a.{kind}"
    write_rgba(path, rgba, "a note")
    assert read_meta(path) == "a note"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with pytest.raises(ValueError):
        read_meta(path)
    path.write_bytes(whole)
    if kind == "png":
        write_png(path, np.zeros((2, 2, 4), np.uint8))
    else:
        np.savez(path, rgba=np.zeros((2, 2, 4)))
    assert read_meta(path) is None


def test_no_program_is_started_for_a_postscript_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("started"))
    with pytest.raises(ValueError, match="neither PNG, TIFF, JPEG nor BMP"):
        read_meta(path)
