"""Folders of images: what is listed, how pixels are prepared, and what is refused."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torchvision import transforms

from core.imaging.images import list_images, write_png
from fid.images import check_nesting, read_batches, read_folder, sound_images
from fid.preprocessing import Preprocessing

GREY = Preprocessing(24, "pillow-bilinear", True, (0.5,), (0.25,))
COLOUR = Preprocessing(24, "pillow-bilinear", False, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)


def test_one_folder_in_the_other(tmp_path):
    (tmp_path / "real" / "generated").mkdir(parents=True)
    for pair in (
        (tmp_path / "real", tmp_path / "real/generated"),
        (tmp_path / "real/generated", tmp_path / "real"),
    ):
        with pytest.raises(ValueError, match="generated lies inside .*real:"):
            check_nesting(*pair)
    check_nesting(tmp_path / "real", tmp_path / "real")
    check_nesting(tmp_path / "real", tmp_path / "realistic")


@pytest.mark.parametrize("other", ["masks/s_0.png", "conditions/mask/s_0.png", "overview.png"])
def test_masks_do_not_count_as_images(tmp_path, other):
    grey = np.zeros((8, 8), np.uint8)
    for name in ("images/s_0.png", "images/part/s_1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / name, grey)
    assert len(read_folder(tmp_path, skip_corrupt=False)[0]) == 2
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    write_png(tmp_path / other, grey)
    with pytest.raises(ValueError) as error:
        read_folder(tmp_path, skip_corrupt=False)
    beside = "1 pictures beside images/ would count as images"
    assert str(error.value) == f"{tmp_path}: {beside}, such as {other}. Name {tmp_path}/images."
    assert len(read_folder(tmp_path / "images", skip_corrupt=False)[0]) == 2


def test_grey_preparation_is_the_published_chain(pixels):
    chain = transforms.Compose(
        [
            transforms.Grayscale(3),
            transforms.Resize((24, 24)),
            transforms.Grayscale(1),
            transforms.ToTensor(),
            transforms.Normalize(0.5, 0.25),
        ]
    )
    assert torch.equal(GREY(pixels), chain(Image.fromarray(pixels)))


def test_colour_preparation_is_the_published_chain(pixels):
    normalise = transforms.Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    chain = transforms.Compose([transforms.Resize((24, 24)), transforms.ToTensor(), normalise])
    torch.testing.assert_close(COLOUR(pixels), chain(Image.fromarray(pixels)))


def test_bicubic_keeps_fractions_and_is_clipped(pixels):
    unit = Preprocessing(24, "pillow-bicubic", False, (0.0,) * 3, (1.0,) * 3)
    red = Image.fromarray(pixels[..., 0].astype(np.float32)).resize(
        (24, 24), Image.Resampling.BICUBIC
    )
    torch.testing.assert_close(unit(pixels)[0], torch.from_numpy(np.asarray(red) / 255))
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    assert unit(edge).min() == 0 and unit(edge).max() == 1


def test_antialiasing_averages_what_sampling_misses():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::4] = 255
    antialiased, sampled = (
        Preprocessing(24, rule, False, (0.0,) * 3, (1.0,) * 3)(stripes)
        for rule in ("pillow-bilinear", "torch-bilinear")
    )
    assert antialiased[..., 2:-2].mean() == pytest.approx(0.25, abs=0.02)
    assert sampled.mean() == pytest.approx(0, abs=0.02)


def test_kinds_of_one_picture_are_prepared_alike(tmp_path):
    """8-bit grey, RGB with equal channels, with alpha, and 16 bits: all the same picture."""
    grey = np.random.default_rng(0).integers(0, 256, (30, 30)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(rgb).save(tmp_path / "b.png")
    Image.fromarray(np.dstack([rgb, np.full_like(grey, 7)])).save(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "d.tif", grey.astype(np.uint16) * 257)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "e.png")
    (batch,) = read_batches(list_images(tmp_path), GREY, 8)
    assert batch.shape == (5, 1, 24, 24)
    for other in batch[1:]:
        assert torch.equal(other, batch[0])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_keep_the_order_and_name_what_breaks(tmp_path, num_workers):
    for i in range(5):
        write_png(tmp_path / f"{i}.png", np.full((9, 9), 50 * i, np.uint8))
    batches = list(read_batches(list_images(tmp_path), GREY, 2, num_workers))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    levels = torch.cat(batches).mean((1, 2, 3)) * 0.25 + 0.5
    torch.testing.assert_close(levels, torch.arange(5) * 50 / 255)
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"^\S*3.png: cannot be read as an image"):
        list(read_batches(list_images(tmp_path), GREY, 2, num_workers))


def test_corrupt_images_are_named_or_counted(tmp_path):
    for i in range(4):
        write_png(tmp_path / f"{i}.png", np.zeros((9, 9), np.uint8))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:-20])
    paths = list_images(tmp_path)
    with pytest.raises(ValueError, match="1.png: .*Repair it"):
        sound_images(paths)
    with pytest.raises(ValueError, match="1.png: .*--leave-out leaves such files out"):
        sound_images(paths, option="--leave-out")
    sound, skipped = sound_images(paths, skip_corrupt=True)
    assert [path.name for path in sound] == ["0.png", "2.png", "3.png"] and skipped == 1
    with pytest.raises(ValueError, match=r"1 readable image\(s\), expected at least two"):
        sound_images(paths[:2], skip_corrupt=True)


def test_damage_inside_compressed_pixels_is_skipped_too(tmp_path):
    for i in range(3):
        tifffile.imwrite(
            tmp_path / f"{i}.tif",
            np.random.default_rng(i).integers(0, 255, (40, 40), np.uint8),
            compression="zlib",
        )
    content = bytearray((tmp_path / "1.tif").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    (tmp_path / "1.tif").write_bytes(content)
    sound, skipped = sound_images(list_images(tmp_path), skip_corrupt=True)
    assert [path.name for path in sound] == ["0.tif", "2.tif"] and skipped == 1
    with pytest.raises(ValueError, match="1.tif: cannot be read"):
        list(read_batches(list_images(tmp_path), GREY, 3))
