"""Samples of files: what a key decides, what a sample shows, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from conditions.pairs import check_pairs
from conditions.segmentation import Segmentation
from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.imaging.views import draw_view
from core.prompts import PROMPTS
from core.samples import PlacedKey, SampleKey, collate
from dataset import MyDataset, ValidationSet
from tests.picture_files import blocks, make_pairs, write

VNC = Path(__file__).parents[1] / "../shared/data/vnc/train"
SHAPES = [(64, 64), (20, 300), (300, 20), (40, 60), (64, 112), (1, 5), (2, 2)]  # (height, width)


def take(data, index, seed, view=None):
    """The sample of a key under the published names."""
    sample = data[SampleKey(index, seed, view)]
    return {"jpg": sample.image, "txt": sample.prompt, "hint": sample.hint}


def read_mask_hint(path):
    """The hint of a mask of three classes, (H, W, 3)."""
    return Segmentation().read_hint(path)


# Samples


def test_sizes_that_differ_are_found_when_read(tmp_path):
    images, masks = make_pairs(tmp_path, num=1)
    write(masks / "s_0.png", blocks((32, 64)))
    with pytest.raises(RuntimeError, match="s_0.png is 64 x 64 but .* is 64 x 32 pixels"):
        MyDataset(images, masks, augment=False, image_size=32)[0]


def test_sample_of_the_exact_size_is_the_file(tmp_path):
    grey = np.arange(4096).reshape(64, 64).astype(np.uint8)
    images, masks = make_pairs(tmp_path, num=1, image=grey)
    sample = MyDataset(images, masks, augment=False, image_size=64, prompts=("a cell",))[0]
    assert sample.keys() == {"jpg", "txt", "hint"}
    assert sample["txt"] == "a cell"
    assert sample["jpg"].dtype == sample["hint"].dtype == torch.float32
    for channel in range(3):
        assert np.allclose(sample["jpg"][..., channel], grey / 127.5 - 1, atol=1e-6)
    assert np.array_equal(sample["hint"].numpy(), read_mask_hint(masks / "s_0.png"))


def test_without_augmentation_the_centre_at_native_resolution(tmp_path):
    images, masks = make_pairs(tmp_path, shape=(64, 112), num=1)
    hint = MyDataset(images, masks, augment=False, image_size=32)[0]["hint"]
    assert np.array_equal(hint.numpy(), read_mask_hint(masks / "s_0.png")[16:48, 40:72])


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".jpg"])
@pytest.mark.parametrize("colour", [False, True])
def test_image_formats(tmp_path, suffix, colour):
    pixels = np.full((64, 64, 3) if colour else (64, 64), 100, np.uint8)
    write(tmp_path / f"images/a{suffix}", pixels)
    write(tmp_path / "masks/a.png", blocks((64, 64)))
    data = MyDataset(tmp_path / "images", tmp_path / "masks", augment=True, image_size=48)
    image = data[0]["jpg"]
    assert image.shape == (48, 48, 3)
    assert (image - (100 / 127.5 - 1)).abs().max() < 0.01


def test_16_bit_tiff_image(tmp_path):
    write(tmp_path / "images/a.tif", np.full((64, 64), 40000, np.uint16))
    write(tmp_path / "masks/a.png", blocks((64, 64)))
    sample = MyDataset(tmp_path / "images", tmp_path / "masks", augment=False, image_size=64)[0]
    assert torch.allclose(sample["jpg"], torch.tensor(40000 / 32767.5 - 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("augment", [False, True])
def test_no_black_corner_and_no_pixel_without_a_class(tmp_path, shape, augment):
    white = np.full(shape, 255, np.uint8)
    images, masks = make_pairs(tmp_path, shape=shape, num=1, num_classes=4, image=white)
    data = MyDataset(images, masks, augment=augment, num_classes=4, image_size=48)
    for seed in range(40):
        sample = data[SampleKey(0, seed)]
        assert sample.image.shape == (48, 48, 3)
        assert sample.image.min() > 0.999
        assert sample.image.max() <= 1
        assert sample.hint.shape == (48, 48, 4)
        assert set(sample.hint.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(sample.hint.sum(dim=2), torch.ones(48, 48))


@pytest.mark.parametrize(
    ("shape", "size"), [((64, 64), 32), ((64, 64), 100), ((256, 256), 64), ((64, 112), 48)]
)
@pytest.mark.parametrize("augment", [False, True])
def test_image_and_mask_stay_aligned(tmp_path, shape, size, augment):
    labels = blocks(shape, side=shape[0] // 4)
    levels = np.array([0, 127, 255], np.uint8)
    images, masks = make_pairs(tmp_path, shape=shape, num=1, image=levels[labels])
    write(masks / "s_0.png", labels)
    data = MyDataset(images, masks, augment=augment, image_size=size)
    wrong = []
    for seed in range(30 if augment else 1):
        sample = data[SampleKey(0, seed)]
        from_image = (sample.image[..., 0] + 1).round()
        wrong.append((from_image != sample.hint.argmax(dim=2)).float().mean().item())
    # Interpolation between 0 and 2 passes 1; masks of another view disagree on half the pixels
    assert np.mean(wrong) < 0.05


@pytest.mark.parametrize("shape", [(64, 112), (20, 300), (300, 20)], ids=["wide", "strip", "tall"])
def test_every_part_of_a_long_picture_is_seen(tmp_path, shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    place = columns if shape[1] > shape[0] else rows
    ramp = (place * 255 // place.max()).astype(np.uint8)
    images, masks = make_pairs(tmp_path, shape=shape, num=1, image=ramp)
    data = MyDataset(images, masks, augment=True, image_size=16)
    seen = torch.cat([data[SampleKey(0, seed)].image.flatten() for seed in range(150)])
    share = torch.histc((seen + 1) / 2, bins=10, min=0, max=1) / seen.numel()
    # An even share is 0.1; the central crop alone would leave tenths at 0
    assert share.min() > 0.01


@pytest.mark.parametrize("side", [40, 160])
def test_crops_in_pixels_are_as_large_in_any_image(tmp_path, side, monkeypatch):
    for kind in ("images", "masks"):
        write(tmp_path / kind / "a.png", np.zeros((side, side), np.uint8))
    fields = {"num_classes": 2, "image_size": 16, "crop_pixels": (30, 36)}
    dataset = MyDataset(tmp_path / "images", tmp_path / "masks", **fields)
    views = []
    monkeypatch.setattr(
        "dataset.draw_view", lambda *args: views.append(draw_view(*args)) or views[-1]
    )
    for _ in range(40):
        dataset[0]
    areas = [view.height * view.width for view in views]
    assert 29**2 < min(areas) < max(areas) < 37**2
    assert max(areas) > min(areas) + 100


def test_prompts_are_drawn_evenly_and_dropped_as_often_as_asked(tmp_path):
    folders = make_pairs(tmp_path, num=1, shape=(8, 8))

    def texts(count, **options):
        data = MyDataset(*folders, augment=False, image_size=8, **options)
        return [data[SampleKey(0, seed)].prompt for seed in range(count)]

    drawn = texts(800, prompt_drop=0.3, prompts=("a", "b"))
    for text, share in (("", 0.3), ("a", 0.35), ("b", 0.35)):
        assert abs(drawn.count(text) / 800 - share) < 0.07  # four standard deviations
    assert set(texts(400)) == set(PROMPTS)
    assert set(texts(50, prompt_drop=1.0)) == {""}


def test_a_validation_sample_has_the_hint_of_the_next(tmp_path):
    data = ValidationSet(MyDataset(*make_pairs(tmp_path), augment=False, image_size=64))
    assert len(data) == 3
    for i in range(3):
        sample = data[i]
        following = data.dataset[SampleKey((i + 1) % 3, seed=0)]
        assert sample.key == data.key(i) == SampleKey(i, i, -1 - i)
        assert torch.equal(sample.other_hint, following.hint)
        assert not torch.equal(sample.other_hint, sample.hint)
    batch = collate([data[0], data[2]])
    assert torch.equal(batch.other_hints[0][1], data[0].hint.permute(2, 0, 1))
    alone = ValidationSet(
        MyDataset(*make_pairs(tmp_path / "one", num=1), augment=False, image_size=64)
    )
    assert alone[0].other_hint is None
    assert collate([alone[0]]).other_hints == []


# Randomness


@pytest.fixture
def augmented(tmp_path):
    """Three pairs of 64 x 80 pixels, seen through random views of 32 pixels."""
    folders = make_pairs(tmp_path, shape=(64, 80))
    return MyDataset(*folders, augment=True, image_size=32, prompt_drop=0.2)


def same(a, b):
    """Whether two published dictionaries hold the same."""
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
    other_index = take(augmented, 0, 7)
    assert not torch.equal(other_index["jpg"], first["jpg"])  # the seed is equal, the crop is not
    assert same(take(augmented, -2, 7), first)
    with pytest.raises(IndexError):
        take(augmented, 3, 0)


def test_a_view_decides_what_is_seen_and_the_seed_the_rest(augmented):
    first, other = take(augmented, 1, 7, 3), take(augmented, 1, 8, 3)
    assert torch.equal(first["jpg"], other["jpg"])
    assert torch.equal(first["hint"], other["hint"])
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
    keys = [SampleKey(i % 3, seed) for i, seed in enumerate((11, 5, 2**62, 0, 5, -1))]
    placed = [PlacedKey(key, weight=0.5, whole_batch=4) for key in keys]
    batches = [
        list(DataLoader(augmented, 2, sampler=placed, num_workers=n, collate_fn=collate))
        for n in (0, 2)
    ]
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.hints[0], b.hints[0])
        assert a.prompts == b.prompts
        assert a.keys == b.keys
        assert a.weights.tolist() == [0.5, 0.5] and a.whole_batch == 4
    assert [key for batch in batches[0] for key in batch.keys] == keys
    assert batches[0][0].images.shape == batches[0][0].hints[0].shape == (2, 3, 32, 32)


def test_an_image_whose_latent_is_known_is_not_read(augmented):
    whole = augmented[SampleKey(1, 7, 3)]
    augmented.pairs[1].image.unlink()
    known = augmented[PlacedKey(SampleKey(1, 7, 3), needs_image=False)]
    assert known.image is None
    assert known.prompt == whole.prompt
    assert torch.equal(known.hint, whole.hint)


def test_the_loaders_generator_seeds_workers(augmented):
    def epoch(seed, global_seed):
        torch.manual_seed(global_seed)
        generator = torch.Generator().manual_seed(seed)
        return list(DataLoader(augmented, batch_size=3, num_workers=2, generator=generator))

    first, again, other = epoch(1, 10), epoch(1, 20), epoch(2, 10)
    assert same(first[0], again[0])
    assert not torch.equal(first[0]["jpg"], other[0]["jpg"])


@pytest.mark.skipif(not VNC.is_dir(), reason="the real images are not here")
@pytest.mark.parametrize("size", [128, 512])
def test_real_images(size):
    data = MyDataset(VNC / "images", VNC / "masks", augment=True, image_size=size)
    assert len(data) == 48
    assert all(pair.image.name == pair.condition.name for pair in data.pairs)
    check_pairs(data.pairs[:6])
    sample = data[SampleKey(5, seed=1)]
    assert sample.image.shape == sample.hint.shape == (size, size, 3)
    inside, membrane = (sample.image[..., 0][sample.hint[..., i] == 1].mean() for i in (0, 1))
    assert membrane < inside - 0.1  # stained membranes are dark: the mask lies on them


def test_published_attributes_and_default(tmp_path):
    """Samples are augmented unless asked otherwise, and the files' paths are text."""
    images, masks = make_pairs(tmp_path)
    data = MyDataset(images, masks)
    assert data.augment is True
    assert data.imagePaths == [str(pair.image) for pair in data.pairs]
    assert data.conditionPaths == [str(pair.condition) for pair in data.pairs]
    assert all(isinstance(path, str) for path in data.imagePaths + data.conditionPaths)


def test_samples_at_another_pixel_size(tmp_path):
    images, masks = make_pairs(tmp_path, shape=(64, 64), num=1)
    write_json(images / VOLUME, {"pixel_size_nm": [4, 4]})
    data = MyDataset(images, masks, augment=False, image_size=32, pixel_side=8)
    assert data.pixel_size == (8, 8)
    sample = take(data, 0, 1)
    grey = (take(MyDataset(images, masks, False, image_size=64), 0, 1)["jpg"] + 1) / 2
    means = grey.reshape(32, 2, 32, 2, 3).mean(dim=(1, 3))
    assert torch.allclose((sample["jpg"] + 1) / 2, means, atol=1e-5)
    assert np.array_equal(sample["hint"].numpy(), read_mask_hint(masks / "s_0.png")[1::2, 1::2])
    assert torch.equal(data.hint(0), sample["hint"])
    assert MyDataset(images, masks, image_size=32, pixel_side=8)[0]["jpg"].shape == (32, 32, 3)
