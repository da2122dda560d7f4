"""The data module: who pairs with whom, what a condition file means, what augmentation may and may not do."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch.utils.data import DataLoader

from conditions import ConditionOptions, create_condition
from conditions.rgba import read_rgba
from conditions.segmentation import one_hot, read_mask
from core.prompts import PROMPTS, read_prompts
from core.views import View, draw_view, take_view
from dataset import MyDataset, SampleKey, check_pairs, collate, find_pairs

VNC = Path(__file__).parents[1] / "../shared/data/vnc/train"
SHAPES = [(64, 64), (20, 300), (300, 20), (40, 60), (64, 112), (1, 5), (2, 2)]  # (height, width)


@pytest.fixture(autouse=True)
def one_thread():
    """Thousands of small operations: on a busy machine threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def take(data, index, seed, view=None):
    """The sample of a key under the published names, channels last."""
    sample = data[SampleKey(index, seed, view)]
    image, hint = (x.permute(1, 2, 0) for x in (sample.image, sample.hint))
    return {"jpg": image, "txt": sample.prompt, "hint": hint}


def read_hint(path, condition_type, num_classes=3, alpha_scale=1.0):
    options = ConditionOptions(num_classes, alpha_scale)
    return create_condition(condition_type, options).read_hint(path)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def blobs(shape, num_classes=3, seed=0, side=8):
    """Class indices in square blocks; every class is there if there is room."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(
        0, num_classes, (shape[0] // side + 1, shape[1] // side + 1), dtype=np.uint8
    )
    coarse.flat[:num_classes] = range(num_classes)
    return coarse.repeat(side, axis=0).repeat(side, axis=1)[: shape[0], : shape[1]]


def make_pairs(root, shape=(64, 64), num=3, num_classes=3, image=None):
    """`num` masks and images (the masks in grey levels if `image` is None) in root/masks and root/images."""
    for i in range(num):
        labels = blobs(shape, num_classes, seed=i)
        grey = (
            (labels.astype(int) * 255 // (num_classes - 1)).astype(np.uint8)
            if image is None
            else image
        )
        write(root / "images" / f"s_{i}.png", grey)
        write(root / "masks" / f"s_{i}.png", labels)
    return root / "images", root / "masks"


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def names(pairs):
    return [(pair.image.name, pair.condition.name) for pair in pairs]


# Pairing


def test_pairs_by_stem_in_natural_order(tmp_path):
    images = touch(tmp_path / "i", "cell_10.png", "cell_9.png", "cell_a.tif")
    masks = touch(tmp_path / "m", "cell_9.tif", "cell_10.png", "cell_a.png")
    assert names(find_pairs(images, masks)) == [
        ("cell_9.png", "cell_9.tif"),
        ("cell_10.png", "cell_10.png"),
        ("cell_a.tif", "cell_a.png"),
    ]


def test_pairs_by_numbers_of_the_published_names(tmp_path):
    images = touch(
        tmp_path / "i", *(f"Dataset {d}_img_{k}.png" for d in (1, 2) for k in (7, 11, 100))
    )
    masks = touch(
        tmp_path / "m", *(f"Dataset {d}_GTM_img_{k:04d}.png" for d in (2, 1) for k in (100, 11, 7))
    )
    assert names(find_pairs(images, masks)) == [
        (f"Dataset {d}_img_{k}.png", f"Dataset {d}_GTM_img_{k:04d}.png")
        for d in (1, 2)
        for k in (7, 11, 100)
    ]


def test_one_missing_and_one_extra_is_refused_not_shifted(tmp_path):
    images = touch(tmp_path / "i", *(f"Dataset 1_img_{k}.png" for k in range(9) if k != 4))
    masks = touch(tmp_path / "m", *(f"Dataset 1_GTM_img_{k}.png" for k in range(9) if k != 7))
    with pytest.raises(RuntimeError) as error:
        find_pairs(images, masks)
    assert "1 file(s) (Dataset 1_img_7.png) without a condition" in str(error.value)
    assert "1 file(s) (Dataset 1_GTM_img_4.png) without an image" in str(error.value)
    assert "\n" not in str(error.value)


def test_refusal_lists_five_of_each_side_and_the_count(tmp_path):
    images = touch(tmp_path / "i", *(f"a{k}.png" for k in range(1, 13)))
    masks = touch(tmp_path / "m", *(f"b{k}.png" for k in range(21, 33)))
    with pytest.raises(RuntimeError) as error:
        find_pairs(images, masks)
    assert "12 file(s) (a1.png, a2.png, a3.png, a4.png, a5.png, ...) without a condition" in str(
        error.value
    )
    assert "12 file(s) (b21.png, b22.png, b23.png, b24.png, b25.png, ...) without an image" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a_1.png", "b_1.png"), ("a_1_mask.png", "b_1_mask.png")),  # equal numbers twice
        (("cell.png",), ("mask.png",)),  # no numbers: position would be the only reason
        (("img_1_2.png",), ("img_2_1.png",)),  # the order counts
        (("a.png", "b.png"), ("a.png",)),
        (("a.png",), ("a.png", "b.png")),
    ],
)
def test_names_that_do_not_decide(tmp_path, left, right):
    with pytest.raises(RuntimeError, match="do not pair one to one"):
        find_pairs(touch(tmp_path / "i", *left), touch(tmp_path / "m", *right))


def test_two_files_of_one_stem(tmp_path):
    double, single = touch(tmp_path / "i", "a.png", "a.tif"), touch(tmp_path / "m", "a.png")
    for pair in ((double, single), (single, double)):
        with pytest.raises(RuntimeError, match=r"a\.png and .*a\.tif share a stem"):
            find_pairs(*pair)


def test_empty_and_missing_folders(tmp_path):
    images = touch(tmp_path / "i", "a.png")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_pairs(images, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        find_pairs(touch(tmp_path / "empty"), images)


def test_rgba_folders_hold_npz_or_pictures(tmp_path):
    folder = touch(tmp_path / "r", "a_2.npz", "a_2.png", "a_10.npz", "a_1.png")
    assert [path.name for path in create_condition("rgba").list_files(folder)] == [
        "a_1.png",
        "a_2.npz",
        "a_10.npz",
    ]
    assert [path.name for path in create_condition("edge").list_files(folder)] == [
        "a_1.png",
        "a_2.png",
    ]
    with pytest.raises(ValueError, match="condition type 'heat', expected one of segmentation"):
        create_condition("heat")


def test_check_pairs_finds_what_would_stop_training(tmp_path):
    images, masks = make_pairs(tmp_path, num=4)
    check_pairs(find_pairs(images, masks))
    edge = create_condition("edge")
    check_pairs(find_pairs(images, images, edge), edge)
    write(masks / "s_1.png", blobs((64, 32)))
    with pytest.raises(
        RuntimeError, match=r"images/s_1.png is 64 x 64 but .*masks/s_1.png is 32 x 64 pixels"
    ) as error:
        check_pairs(find_pairs(images, masks))
    assert "more)" not in str(error.value)
    write(masks / "s_2.png", blobs((64, 64), num_classes=4))
    (images / "s_3.png").write_bytes((images / "s_3.png").read_bytes()[:-30])
    with pytest.raises(RuntimeError, match=r"s_1.png is .* \(and 2 more\)$"):
        check_pairs(find_pairs(images, masks))
    (images / "s_0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"images/s_0.png: cannot be read .* \(and 3 more\)$"):
        check_pairs(find_pairs(images, masks))


def test_sizes_that_differ_are_found_when_read(tmp_path):
    images, masks = make_pairs(tmp_path, num=1)
    write(masks / "s_0.png", blobs((32, 64)))
    with pytest.raises(RuntimeError, match="s_0.png is 64 x 64 but .* is 64 x 32 pixels"):
        MyDataset(images, masks, image_size=32)[0]


# Masks and edges


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 7])
def test_each_class_is_one_channel(tmp_path, suffix, num_classes):
    labels = blobs((64, 40), num_classes)
    path = write(tmp_path / f"m{suffix}", labels)
    hint = read_hint(path, "segmentation", num_classes)
    assert hint.dtype == np.float32 and hint.shape == (64, 40, num_classes) == (
        64,
        40,
        create_condition("segmentation", ConditionOptions(num_classes)).hint_channels,
    )
    for i in range(num_classes):
        assert np.array_equal(hint[..., i], labels == i)
    assert np.array_equal(one_hot(labels, num_classes), hint)


def test_grey_levels_are_refused_with_a_recipe(tmp_path):
    labels = blobs((64, 64))
    path = write(tmp_path / "m.png", np.array([0, 127, 255], np.uint8)[labels])
    with pytest.raises(ValueError) as error:
        read_mask(path, 3)
    text = str(error.value)
    assert "m.png: found value(s) 127, 255, expected 0..2 (--num_classes 3)" in text
    assert "numpy.searchsorted([0, 127, 255], mask)" in text
    assert np.array_equal(
        np.searchsorted([0, 127, 255], np.array(Image.open(path))), labels
    )  # the recipe is right
    write(
        path, np.where(labels == 1, 255, 0).astype(np.uint8)
    )  # a file that lacks a class: its own levels would mislead
    with pytest.raises(
        ValueError, match=r"value\(s\) 255, .*searchsorted\(\[0, 127, 255\], mask\)"
    ):
        read_mask(path, 3)


def test_a_class_too_many_names_the_option(tmp_path):
    path = write(tmp_path / "m.png", blobs((64, 64), 5))
    with pytest.raises(
        ValueError, match=r"m.png: found value\(s\) 3, 4, expected 0..2 .*pass --num_classes 5"
    ):
        read_mask(path, 3)
    assert read_mask(path, 5).max() == 4


def test_a_picture_is_no_mask(tmp_path):
    path = write(
        tmp_path / "m.png", np.arange(4096, dtype=np.int64).reshape(64, 64).astype(np.uint8)
    )
    with pytest.raises(
        ValueError, match=r"value\(s\) 3, 4, 5, 6, 7, \.\.\., expected 0..2 .*a picture"
    ):
        read_mask(path, 3)


def test_edges(tmp_path):
    read_edge = create_condition("edge").read_hint
    grey = np.arange(4096).reshape(64, 64).astype(np.uint8)
    edges = read_edge(write(tmp_path / "e.png", grey))
    assert edges.dtype == np.float32 and edges.shape == (64, 64, 3)
    assert np.array_equal(edges, np.repeat(grey[..., None], 3, axis=2).astype(np.float32) / 255)
    colour = read_edge(write(tmp_path / "c.png", np.full((4, 4, 3), (255, 0, 0), np.uint8)))
    assert np.allclose(colour, 0.299)
    assert read_edge(write(tmp_path / "none.png", np.zeros((4, 4), np.uint8))).max() == 0
    assert read_edge(write(tmp_path / "bit.png", np.eye(4) > 0)).max() == 1
    with pytest.raises(ValueError, match="dark.png: the brightest edge is 1 of 255"):
        read_edge(write(tmp_path / "dark.png", np.eye(4, dtype=np.uint8)))


# RGBA


@pytest.fixture
def rgba():
    """Asymmetric (H, W, 4) in {0, 1}: three class planes and a sparse edge map."""
    labels = blobs((64, 48))
    labels[:20] = 0  # classes of unequal size, no symmetry
    alpha = np.zeros((64, 48, 1), np.float32)
    alpha[5, :7] = alpha[40:43, 11] = 1
    return np.concatenate([one_hot(labels, 3), alpha], axis=2)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("value_range", ["neg_one_to_one", "zero_one"])
def test_npz_value_ranges_are_exact(tmp_path, rgba, value_range, declared):
    stored = rgba * 2 - 1 if value_range == "neg_one_to_one" else rgba
    extra = {"meta": json.dumps({"value_range": value_range, "canny_low": 100})} if declared else {}
    np.savez_compressed(tmp_path / "a.npz", rgba=stored, **extra)
    hint = read_hint(tmp_path / "a.npz", "rgba")
    assert (
        hint.dtype == np.float32
        and hint.shape[2] == create_condition("rgba").hint_channels == 4
        and np.array_equal(hint, rgba)
    )


def test_npz_of_bytes_is_scaled(tmp_path, rgba):
    np.savez(tmp_path / "a.npz", rgba=(rgba * 255).astype(np.uint8))
    assert np.array_equal(read_rgba(tmp_path / "a.npz"), rgba)


def test_png_equals_npz_and_keeps_the_channel_order(tmp_path, rgba):
    np.savez(
        tmp_path / "a.npz", rgba=rgba * 2 - 1, meta=json.dumps({"value_range": "neg_one_to_one"})
    )
    Image.fromarray((rgba * 255).astype(np.uint8), mode="RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_rgba(tmp_path / "a.png"), rgba)
    assert np.array_equal(read_rgba(tmp_path / "a.png"), read_rgba(tmp_path / "a.npz"))
    assert not np.array_equal(rgba[..., 0], rgba[..., 2])  # else B, G, R would pass too


def test_alpha_scale_is_clipped_and_leaves_the_classes(tmp_path, rgba):
    rgba[..., 3] *= 0.5
    np.savez(tmp_path / "a.npz", rgba=rgba)
    for scale, edge in ((0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (4.0, 1.0)):
        scaled = read_hint(tmp_path / "a.npz", "rgba", alpha_scale=scale)
        assert scaled[..., 3].max() == edge and np.array_equal(scaled[..., :3], rgba[..., :3])


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("pickle_ran"),))


def test_pickles_never_run(tmp_path, monkeypatch, rgba):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "array.npz", rgba=np.array([Evil()], dtype=object))
    np.savez(tmp_path / "meta.npz", rgba=rgba, meta=np.array({"value_range": Evil()}, dtype=object))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("array", "meta", "raw"):
        with pytest.raises(
            ValueError, match=rf"{name}.npz: not an archive of numbers.*utils/build_rgba_dataset.py"
        ):
            read_rgba(tmp_path / f"{name}.npz")
    assert not (tmp_path / "pickle_ran").exists()


def test_broken_npz_is_named(tmp_path, rgba):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, rgba=rgba)
    whole = path.read_bytes()
    for data in (
        b"",
        b"text",
        whole[:100],
        whole[: len(whole) // 2],
        whole[:60] + b"\0\0\0\0" + whole[64:],
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="a.npz: not an archive"):
            read_rgba(path)
    with pytest.raises(FileNotFoundError):
        read_rgba(tmp_path / "none.npz")
    for arrays, words in (
        ({"other": rgba}, "with the key 'rgba'"),
        ({"rgba": rgba[..., :3]}, r"float32 \(64, 48, 3\), expected numbers \(H, W, 4\)"),
        ({"rgba": rgba, "meta": "{"}, "not an archive"),
        ({"rgba": rgba, "meta": "[1]"}, "not an archive"),
        ({"rgba": rgba, "meta": '{"value_range": "bytes"}'}, "value_range 'bytes', expected"),
        (
            {"rgba": rgba * 2 - 1, "meta": '{"value_range": "zero_one"}'},
            "do not fit value_range zero_one",
        ),
        (
            {"rgba": rgba * 255, "meta": '{"value_range": "neg_one_to_one"}'},
            "do not fit value_range neg_one_to_one",
        ),
        ({"rgba": rgba * np.nan}, "do not fit"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=words):
            read_rgba(path)


def test_three_channel_picture_is_no_rgba(tmp_path):
    with pytest.raises(ValueError, match=r"a.png: 3 channel\(s\), expected four"):
        read_rgba(write(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8)))


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("suffix", ["npz", "png"])
def test_class_planes_survive_an_empty_alpha(tmp_path, rgba, augment, suffix):
    """The reference resized this as a Pillow RGBA picture: the classes survived on about 2 % of the pixels."""
    write(tmp_path / "images/a.png", np.zeros((64, 48), np.uint8))
    (tmp_path / "rgba").mkdir()
    if suffix == "npz":
        np.savez(
            tmp_path / "rgba/a.npz", rgba=rgba * 2 - 1, meta='{"value_range": "neg_one_to_one"}'
        )
    else:
        Image.fromarray((rgba * 255).astype(np.uint8), mode="RGBA").save(tmp_path / "rgba/a.png")
    data = MyDataset(
        tmp_path / "images",
        tmp_path / "rgba",
        augment=augment,
        condition_type="rgba",
        image_size=40,
    )
    alphas = []
    for seed in range(20):
        hint = take(data, 0, seed)["hint"]
        assert hint.shape == (40, 40, 4)
        assert torch.equal(hint[..., :3].sum(dim=2), torch.ones(40, 40)) and set(
            hint[..., :3].unique().tolist()
        ) <= {0.0, 1.0}
        assert hint.min() >= 0 and hint.max() <= 1
        alphas.append(hint[..., 3].mean().item())
    assert 0 < np.mean(alphas) < 0.1


# Prompts


def test_thirty_seven_prompts():
    assert len(PROMPTS) == len(set(PROMPTS)) == 37 and all(
        prompt == prompt.strip() and len(prompt) > 20 for prompt in PROMPTS
    )


def test_prompts_file(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("\ufeff# cells\n\n  a cell \nCafé, a nucleus # 2\n   # no\n", encoding="utf-8")
    assert read_prompts(path) == ("a cell", "Café, a nucleus # 2")
    path.write_text("# nothing\n\n")
    with pytest.raises(ValueError, match="p.txt: holds no prompt"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="p.txt: not UTF-8"):
        read_prompts(path)
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "none.txt")


def test_prompts_are_drawn_evenly_and_dropped_as_often_as_asked(tmp_path):
    folders = make_pairs(tmp_path, num=1, shape=(8, 8))
    data = MyDataset(*folders, image_size=8, prompt_drop=0.3, prompts=("a", "b"))
    texts = [take(data, 0, seed)["txt"] for seed in range(800)]
    for text, share in (("", 0.3), ("a", 0.35), ("b", 0.35)):
        assert abs(texts.count(text) / 800 - share) < 0.07  # four standard deviations
    assert {take(MyDataset(*folders, image_size=8), 0, seed)["txt"] for seed in range(400)} == set(
        PROMPTS
    )
    assert {
        take(MyDataset(*folders, image_size=8, prompt_drop=1.0), 0, seed)["txt"]
        for seed in range(50)
    } == {""}


# Samples


def test_sample_of_the_exact_size_is_the_file(tmp_path):
    grey = np.arange(4096).reshape(64, 64).astype(np.uint8)
    images, masks = make_pairs(tmp_path, num=1, image=grey)
    sample = MyDataset(images, masks, image_size=64, prompts=("a cell",))[0]
    assert sample.keys() == {"jpg", "txt", "hint"} and sample["txt"] == "a cell"
    assert sample["jpg"].dtype == sample["hint"].dtype == torch.float32
    assert np.allclose(
        sample["jpg"].numpy(), np.repeat(grey[..., None], 3, axis=2) / 127.5 - 1, atol=1e-6
    )
    assert np.array_equal(sample["hint"].numpy(), read_hint(masks / "s_0.png", "segmentation"))


def test_without_augmentation_the_centre_at_native_resolution(tmp_path):
    images, masks = make_pairs(tmp_path, shape=(64, 112), num=1)
    sample = MyDataset(images, masks, image_size=32)[0]
    assert np.array_equal(
        sample["hint"].numpy(), read_hint(masks / "s_0.png", "segmentation")[16:48, 40:72]
    )


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".jpg"])
@pytest.mark.parametrize("colour", [False, True])
def test_image_formats(tmp_path, suffix, colour):
    pixels = np.full((64, 64, 3) if colour else (64, 64), 100, np.uint8)
    write(tmp_path / f"images/a{suffix}", pixels)
    write(tmp_path / "masks/a.png", blobs((64, 64)))
    sample = MyDataset(tmp_path / "images", tmp_path / "masks", augment=True, image_size=48)[0]
    assert (
        sample["jpg"].shape == (48, 48, 3)
        and (sample["jpg"] - (100 / 127.5 - 1)).abs().max() < 0.01
    )


def test_16_bit_tiff_image(tmp_path):
    write(tmp_path / "images/a.tif", np.full((64, 64), 40000, np.uint16))
    write(tmp_path / "masks/a.png", blobs((64, 64)))
    sample = MyDataset(tmp_path / "images", tmp_path / "masks", image_size=64)[0]
    assert torch.allclose(sample["jpg"], torch.tensor(40000 / 32767.5 - 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("augment", [False, True])
def test_no_black_corner_and_no_pixel_without_a_class(tmp_path, shape, augment):
    images, masks = make_pairs(
        tmp_path, shape=shape, num=1, num_classes=4, image=np.full(shape, 255, np.uint8)
    )
    data = MyDataset(images, masks, augment=augment, num_classes=4, image_size=48)
    for seed in range(40):
        sample = take(data, 0, seed)
        assert (
            sample["jpg"].shape == (48, 48, 3)
            and sample["jpg"].min() > 0.999
            and sample["jpg"].max() <= 1
        )
        assert sample["hint"].shape == (48, 48, 4) and set(sample["hint"].unique().tolist()) <= {
            0.0,
            1.0,
        }
        assert torch.equal(sample["hint"].sum(dim=2), torch.ones(48, 48))


@pytest.mark.parametrize(
    ("shape", "size"), [((64, 64), 32), ((64, 64), 100), ((256, 256), 64), ((64, 112), 48)]
)
@pytest.mark.parametrize("augment", [False, True])
def test_image_and_mask_stay_aligned(tmp_path, shape, size, augment):
    labels = blobs(shape, side=shape[0] // 4)
    images, masks = make_pairs(
        tmp_path, shape=shape, num=1, image=np.array([0, 127, 255], np.uint8)[labels]
    )
    write(masks / "s_0.png", labels)
    data = MyDataset(images, masks, augment=augment, image_size=size)
    wrong = []
    for seed in range(30 if augment else 1):
        sample = take(data, 0, seed)
        from_image = (sample["jpg"][..., 0] + 1).round()
        wrong.append((from_image != sample["hint"].argmax(dim=2)).float().mean().item())
    assert (
        np.mean(wrong) < 0.05
    )  # interpolation between 0 and 2 passes 1; masks of another view disagree on half the pixels


def test_nearest_neighbour_is_not_shifted(tmp_path):
    """Signed: torch's plain `nearest` would move masks by (factor - 1) / 2 source pixels, here 3.5 of 256."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 256, axis=0)
    images, masks = make_pairs(tmp_path, num=1, shape=(256, 256), image=ramp)
    write(masks / "s_0.png", ramp)
    data = MyDataset(images, masks, num_classes=256, image_size=32)
    smooth = torch.from_numpy(ramp / np.float32(255))[None]
    labels = data.condition.read(masks / "s_0.png").classes
    classes = torch.from_numpy(labels).permute(2, 0, 1)
    view = View(0, 0, 256, 256, 0.0, False, False)
    image, labels = (
        take_view(smooth, view, 32, True),
        take_view(classes, view, 32, False),
    )
    assert abs((image[0] * 255 - labels[0]).mean().item()) < 1


def test_every_part_of_a_wide_picture_is_seen(tmp_path):
    for name, shape in (("wide", (64, 112)), ("strip", (20, 300)), ("tall", (300, 20))):
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        place = columns if shape[1] > shape[0] else rows
        images, masks = make_pairs(
            tmp_path / name, shape=shape, num=1, image=(place * 255 // place.max()).astype(np.uint8)
        )
        data = MyDataset(images, masks, augment=True, image_size=16)
        seen = torch.cat([take(data, 0, seed)["jpg"].flatten() for seed in range(150)])
        share = torch.histc((seen + 1) / 2, bins=10, min=0, max=1) / seen.numel()
        assert share.min() > 0.01, (
            name
        )  # an even share is 0.1; the central crop alone leaves tenths at 0


def test_crop_scale_rotation_and_flips_are_drawn():
    generator = torch.Generator().manual_seed(0)
    views = [draw_view(100, 100, (0.08, 1.0), generator) for _ in range(2000)]
    areas = np.array([view.height * view.width for view in views]) / 1e4
    ratios = np.array([view.width / view.height for view in views])
    assert (
        0.07 < areas.min() < 0.1
        and 0.95 < areas.max() <= 1
        and 0.72 < ratios.min() < 0.78
        and 1.28 < ratios.max() < 1.38
    )
    assert all(0 <= v.top <= 100 - v.height and 0 <= v.left <= 100 - v.width for v in views)
    assert np.histogram([v.angle for v in views], bins=4, range=(0, 360))[0].min() > 400
    for flip in ("flip_horizontal", "flip_vertical"):
        assert abs(np.mean([getattr(view, flip) for view in views]) - 0.5) < 0.05
    same = [draw_view(100, 100, (0.25, 0.25), generator) for _ in range(50)]
    assert all(abs(v.height * v.width - 2500) < 60 for v in same)


@pytest.mark.parametrize("size", [8, 48])
def test_the_margin_suffices_at_every_angle(size):
    bright = torch.ones(1, 40, 60)
    for angle in range(0, 361, 3):
        for height, width in ((40, 52), (31, 25)):
            view = View(0, 3, height, width, float(angle), False, False)
            assert take_view(bright, view, size, True).min() > 0.9999, angle
            assert take_view(bright, view, size, False).min() == 1, angle


def test_a_view_turns_and_flips():
    quadrants = (
        torch.tensor([[0.1, 0.3], [0.6, 0.9]])
        .repeat_interleave(16, 0)
        .repeat_interleave(16, 1)[None]
    )
    for angle, right, down, expected in (
        (0.0, False, False, [[0.1, 0.3], [0.6, 0.9]]),
        (0.0, True, False, [[0.3, 0.1], [0.9, 0.6]]),
        (0.0, False, True, [[0.6, 0.9], [0.1, 0.3]]),
        (90.0, False, False, [[0.3, 0.9], [0.1, 0.6]]),  # anticlockwise, as torchvision turns
    ):
        for smooth in (True, False):
            seen = take_view(quadrants, View(0, 0, 32, 32, angle, right, down), 32, smooth)
            assert torch.allclose(seen[0, 8::16, 8::16], torch.tensor(expected), atol=1e-5)


def test_edges_stay_in_range_when_augmented(tmp_path):
    for i in range(2):
        edges = (np.random.default_rng(i).random((64, 90)) > 0.9).astype(np.uint8) * 255
        write(tmp_path / f"images/{i}.png", edges)
        write(tmp_path / f"edges/{i}.png", edges)
    data = MyDataset(
        tmp_path / "images", tmp_path / "edges", augment=True, condition_type="edge", image_size=50
    )
    for seed in range(20):
        sample = take(data, seed % 2, seed)
        hint = sample["hint"]
        assert hint.shape == (50, 50, 3) and 0 <= hint.min() and 0 < hint.max() <= 1
        assert torch.equal(hint[..., 0], hint[..., 2]) and torch.allclose(
            sample["jpg"], hint * 2 - 1
        )


# Randomness


@pytest.fixture
def augmented(tmp_path):
    return MyDataset(
        *make_pairs(tmp_path, shape=(64, 80)), augment=True, image_size=32, prompt_drop=0.2
    )


def same(a, b):
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) if torch.is_tensor(a[k]) else a[k] == b[k] for k in a
    )


def test_a_seed_decides_everything(augmented):
    first = take(augmented, 1, 7)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    assert same(take(augmented, 1, 7), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is not touched
    samples = [take(augmented, 1, seed)["jpg"] for seed in range(20)]
    assert all(not torch.equal(a, b) for i, a in enumerate(samples) for b in samples[:i])
    augmented.pairs[0] = augmented.pairs[1]
    assert not torch.equal(
        take(augmented, 0, 7)["jpg"], first["jpg"]
    )  # equal seeds, other index: another crop
    assert same(take(augmented, -2, 7), first)
    with pytest.raises(IndexError):
        take(augmented, 3, 0)


def test_a_view_decides_what_is_seen_and_the_seed_the_rest(augmented):
    first, other = take(augmented, 1, 7, 3), take(augmented, 1, 8, 3)
    assert torch.equal(first["jpg"], other["jpg"]) and torch.equal(first["hint"], other["hint"])
    assert not torch.equal(first["jpg"], take(augmented, 1, 7, 4)["jpg"])
    assert len({take(augmented, 1, seed, 3)["txt"] for seed in range(20)}) > 5


def test_plain_items_follow_the_global_generator(augmented):
    torch.manual_seed(5)
    first = [augmented[0] for _ in range(3)]
    torch.manual_seed(5)
    again = [augmented[0] for _ in range(3)]
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0]["jpg"], first[1]["jpg"])


def test_keyed_samples_are_the_same_in_workers(augmented):
    keys = [SampleKey(i % 3, seed, weight=0.5) for i, seed in enumerate((11, 5, 2**62, 0, 5, -1))]
    batches = [
        list(DataLoader(augmented, 2, sampler=keys, num_workers=n, collate_fn=collate))
        for n in (0, 2)
    ]
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.hints[0], b.hints[0])
        assert a.prompts == b.prompts and a.keys == b.keys and a.weights.tolist() == [0.5, 0.5]
    assert [key for batch in batches[0] for key in batch.keys] == keys
    assert batches[0][0].images.shape == batches[0][0].hints[0].shape == (2, 3, 32, 32)


def test_an_image_whose_latent_is_known_is_not_read(augmented):
    whole = augmented[SampleKey(1, 7, 3)]
    augmented.pairs[1].image.unlink()
    known = augmented[SampleKey(1, 7, 3, needs_image=False)]
    assert known.image is None and known.prompt == whole.prompt
    assert torch.equal(known.hint, whole.hint)
    batch = collate([known, augmented[SampleKey(0, 1)], known])
    assert len(batch.images) == 1 and len(batch.hints[0]) == 3


def test_the_loaders_generator_seeds_workers(augmented):
    def epoch(seed, global_seed):
        torch.manual_seed(global_seed)
        generator = torch.Generator().manual_seed(seed)
        return list(DataLoader(augmented, batch_size=3, num_workers=2, generator=generator))

    first, again, other = epoch(1, 10), epoch(1, 20), epoch(2, 10)
    assert same(first[0], again[0]) and not torch.equal(first[0]["jpg"], other[0]["jpg"])


@pytest.mark.skipif(not VNC.is_dir(), reason="the real images are not here")
@pytest.mark.parametrize("size", [128, 512])
def test_real_images(size):
    data = MyDataset(VNC / "images", VNC / "masks", augment=True, image_size=size)
    assert len(data) == 48 and all(pair.image.name == pair.condition.name for pair in data.pairs)
    check_pairs(data.pairs[:6])
    sample = take(data, 5, 1)
    assert sample["jpg"].shape == sample["hint"].shape == (size, size, 3)
    membrane, inside = (sample["jpg"][..., 0][sample["hint"][..., i] == 1].mean() for i in (1, 0))
    assert membrane < inside - 0.1  # stained membranes are dark: the mask lies on them
