import json
import multiprocessing
import os
import signal

import cv2
import numpy as np
import pytest
from PIL import Image

from annotator.canny import CannyDetector
from conditions import create_condition
from conditions.rgba import read_meta, read_rgba, write_rgba
from conditions.segmentation import one_hot, read_mask
from core.files import sha256_of
from core.imaging.images import read_image, write_png
from core.notices import Notice
from utils import build_rgba_dataset


@pytest.fixture
def build(pairs, tmp_path):
    """Function that builds with further options and returns the folder of tensors."""

    def build(
        *options,
        images=pairs / "images",
        masks=pairs / "masks",
        dest="out",
        folder="100_200",
        workers=0,
    ):
        words = f"--img_dir {images} --mask_dir {masks} --dest_dir {tmp_path / dest} "
        words += f"--num_workers {workers}"
        build_rgba_dataset.main([*words.split(), *map(str, options)])
        return tmp_path / dest / folder

    return build


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def expected(pairs, name, low=100, high=200):
    """Class planes and edges, worked out from the files."""
    edges = CannyDetector()(np.asarray(Image.open(pairs / "images" / f"{name}.png")), low, high)
    planes = one_hot(read_mask(pairs / "masks" / f"{name}.png", 3), 3)
    return np.concatenate([planes, edges[..., None] / 255], axis=2)


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_hints_are_masks_and_edges(build, pairs, kind):
    folder = build("--fmt", kind)
    paths = create_condition("rgba").list_files(folder)
    assert [path.name for path in paths] == [f"cell_{i}.{kind}" for i in range(6)]
    for path in paths:
        hint = read_rgba(path)
        assert 0 < hint[..., 3].mean() < 1 and np.array_equal(hint, expected(pairs, path.stem))


def test_the_published_format(build, pairs):
    folder = build("--canny-low", 40, "--canny-high", 90, folder="40_90")
    with np.load(folder / "cell_2.npz", allow_pickle=False) as archive:
        rgba, meta = archive["rgba"], json.loads(archive["meta"].item())
    assert rgba.dtype == np.float32 and rgba.shape == (64, 64, 4)
    assert rgba.min() == -1 and rgba.max() == 1
    assert np.array_equal((rgba + 1) / 2, expected(pairs, "cell_2", 40, 90))
    assert meta == {
        "image_path": str(pairs / "images" / "cell_2.png"),
        "mask_path": str(pairs / "masks" / "cell_2.png"),
        "value_range": "neg_one_to_one",
        "canny_low": 40,
        "canny_high": 90,
        "beta_edge": 1.0,
        # Not published
        "image_sha256": sha256_of(pairs / "images" / "cell_2.png"),
        "mask_sha256": sha256_of(pairs / "masks" / "cell_2.png"),
    }


def test_png_order_is_rgba_for_every_reader(build, pairs):
    """OpenCV hands out blue first; class 0 must be red in the file."""
    folder = build("--fmt", "png", "npz")
    planes = expected(pairs, "cell_1")
    assert not np.array_equal(planes[..., 0], planes[..., 2])  # else the wrong order would pass too
    stored = cv2.imread(str(folder / "cell_1.png"), cv2.IMREAD_UNCHANGED) / 255
    assert np.array_equal(stored[..., [2, 1, 0, 3]], planes)
    with Image.open(folder / "cell_1.png") as image:
        assert image.mode == "RGBA" and np.array_equal(np.asarray(image) / 255, planes)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.7])
def test_both_formats_hold_the_same_hint_at_any_beta(build, beta):
    folder = build("--beta-edge", beta, "--fmt", "npz", "png")
    npz, png = (read_rgba(folder / f"cell_0.{kind}") for kind in ("npz", "png"))
    assert np.array_equal(npz[..., :3], png[..., :3])
    assert np.abs(npz - png).max() < 1e-7  # one rounding of (x + 1) / 2
    assert abs(png[..., 3].max() - min(beta, 1)) <= 0.5 / 255 + 1e-7


def test_workers_write_the_same_bytes(build):
    kinds = ("--fmt", "npz", "png")
    serial = files(build(*kinds))
    assert len(serial) == 18 and files(build(*kinds, dest="parallel", workers=3)) == serial


def test_a_killed_build_is_finished_by_the_next_one(build, tmp_path, monkeypatch):
    """SIGKILL in the middle of the third file."""
    whole, folder, write = build(), tmp_path / "killed" / "100_200", np.savez_compressed

    def killed(file, **arrays):
        if len(list(folder.glob("[!.]*.npz"))) == 2:
            file.write_bytes(b"PK half")
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, **arrays)

    monkeypatch.setattr(np, "savez_compressed", killed)
    process = multiprocessing.get_context("fork").Process(target=build, kwargs={"dest": "killed"})
    process.start()
    process.join()
    monkeypatch.undo()
    assert process.exitcode == -signal.SIGKILL
    there = {path: path.stat().st_mtime_ns for path in create_condition("rgba").list_files(folder)}
    assert [path.name for path in there] == ["cell_0.npz", "cell_1.npz"]
    assert list(folder.glob(".*.tmp.npz"))
    build(dest="killed")
    assert files(folder) == files(whole)
    assert {path: path.stat().st_mtime_ns for path in there} == there


def test_a_second_build_makes_what_is_missing(build, capsys):
    folder = build()
    before = files(folder)
    (folder / "cell_3.npz").unlink()
    (folder / "preview" / "cell_4.png").unlink()
    (folder / ".cell_5.abc.tmp.npz").touch()  # of a killed process
    kept = (folder / "cell_0.npz").stat().st_mtime_ns
    build()
    assert files(folder) == before and (folder / "cell_0.npz").stat().st_mtime_ns == kept
    assert "6 tensors, 4 there already" in capsys.readouterr().out
    build("--overwrite")
    assert files(folder) == before and (folder / "cell_0.npz").stat().st_mtime_ns > kept


def test_tensors_of_other_options_are_not_mixed(build, tmp_path):
    for kind in ("npz", "png"):
        folder = build("--fmt", kind, dest=kind)
        with pytest.raises(
            RuntimeError,
            match=rf"cell_0.{kind}: is there and was made from other.*Overwrite it.*\(and 5 more\)",
        ):
            build("--fmt", kind, "--beta-edge", 0.5, dest=kind)
        build("--fmt", kind, "--beta-edge", 0.5, "--overwrite", dest=kind)
        strongest = read_rgba(folder / f"cell_0.{kind}")[..., 3].max()
        assert strongest == pytest.approx(0.5, abs=0.501 / 255)
    damaged = tmp_path / "npz" / "100_200" / "cell_1.npz"
    for half in (b"half", damaged.read_bytes()[:-200], b""):
        damaged.write_bytes(half)
        with pytest.raises(RuntimeError, match="cell_1.npz: is there and damaged"):
            build("--beta-edge", 0.5, dest="npz")


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_a_corrected_mask_does_not_keep_its_old_tensor(build, pairs, kind):
    """Under the same name, and with the time of the old one, as `rsync -t` leaves it."""
    folder, mask = build("--fmt", kind), pairs / "masks" / "cell_2.png"
    times = mask.stat().st_atime_ns, mask.stat().st_mtime_ns
    write_png(mask, np.full((64, 64), 2, np.uint8))
    os.utime(mask, ns=times)
    message = f"cell_2.{kind}: is there and {mask} has changed since. Overwrite it"
    with pytest.raises(RuntimeError, match=message):
        build("--fmt", kind)
    build("--fmt", kind, "--overwrite")
    assert read_rgba(folder / f"cell_2.{kind}")[..., 2].all()


def test_tensors_of_older_versions_are_kept(build, pairs, capsys):
    folder = build()
    path = folder / "cell_0.npz"
    note = {k: v for k, v in json.loads(read_meta(path)).items() if not k.endswith("sha256")}
    write_rgba(path, read_rgba(path), json.dumps(note))
    build()
    assert "6 there already" in capsys.readouterr().out


def test_previews_show_image_mask_and_edges(build, pairs, tmp_path):
    folder = build("--preview-max", 2)
    names = [path.name for path in sorted((folder / "preview").iterdir())]
    assert names == ["cell_0.png", "cell_1.png"]
    shown = read_image(folder / "preview" / "cell_1.png")
    assert shown.shape == (68, 200, 3)
    assert np.array_equal(shown[2:66, 2:66], read_image(pairs / "images" / "cell_1.png"))
    edges = expected(pairs, "cell_1")[..., 3].astype(np.float32)
    assert np.array_equal(shown[2:66, 134:198, 0], edges)
    build("--preview_dir", tmp_path / "look", "--preview-max", 1, dest="other")
    assert [path.name for path in (tmp_path / "look").iterdir()] == ["cell_0.png"]
    assert not (tmp_path / "other" / "100_200" / "preview").exists()


def test_images_without_a_mask_are_listed(build, pairs, capsys):
    mask = (pairs / "masks" / "cell_4.png").read_bytes()
    (pairs / "masks" / "cell_4.png").unlink()
    folder = build()
    assert (folder / "missing_masks.txt").read_text() == "cell_4\n"
    assert not (folder / "cell_4.npz").exists()
    assert "1 images have no mask" in capsys.readouterr().out
    (pairs / "masks" / "cell_4.png").write_bytes(mask)
    build()
    assert (folder / "cell_4.npz").exists() and not (folder / "missing_masks.txt").exists()


def test_masks_in_jpeg_files_are_warned_of(build, pairs):
    (pairs / "masks" / "cell_4.png").unlink()
    Image.fromarray(np.ones((64, 64), np.uint8)).save(pairs / "masks" / "cell_4.jpg")
    with pytest.warns(Notice, match="masks: 1 of 6 files of labels .*, for example cell_4.jpg"):
        build(workers=2)


def test_masks_of_one_class_are_warned_of(build, pairs):
    for path in (pairs / "masks").iterdir():
        write_png(path, np.ones((64, 64), np.uint8))
    with pytest.warns(Notice, match=f"{pairs}/masks: all 6 masks hold class 1 alone"):
        build()


@pytest.fixture
def nested(pairs, tmp_path):
    """Folder with `images/{a,b}/cell_0.png` and masks alike; the two cells differ."""
    for i, sub in enumerate("ab"):
        for kind in ("images", "masks"):
            (tmp_path / "nested" / kind / sub).mkdir(parents=True)
            picture = (pairs / kind / f"cell_{i}.png").read_bytes()
            (tmp_path / "nested" / kind / sub / "cell_0.png").write_bytes(picture)
    return tmp_path / "nested"


def test_equal_stems_in_two_folders_are_kept_apart_or_refused(build, nested, pairs, tmp_path):
    where = {"images": nested / "images", "masks": nested / "masks"}
    with pytest.raises(
        RuntimeError,
        match="a/cell_0.png and .*b/cell_0.png share a stem: keep one.*, or keep the folders apart",
    ):
        build(**where)
    assert not (tmp_path / "out").exists()
    folder = build("--keep_folders", **where)
    for i, sub in enumerate("ab"):
        assert np.array_equal(read_rgba(folder / sub / "cell_0.npz"), expected(pairs, f"cell_{i}"))
    assert (folder / "preview" / "b" / "cell_0.png").is_file()
    (nested / "masks" / "b" / "cell_0.png").unlink()
    fewer = build("--keep_folders", **where, dest="fewer")
    assert (fewer / "missing_masks.txt").read_text() == "b/cell_0\n"


def test_sub_folders_are_searched_and_flattened(build, nested, pairs):
    for kind in ("images", "masks"):
        (nested / kind / "b" / "cell_0.png").rename(nested / kind / "b" / "cell_1.png")
    folder = build(images=nested / "images", masks=nested / "masks")
    stems = [path.stem for path in create_condition("rgba").list_files(folder)]
    assert stems == ["cell_0", "cell_1"]
    assert np.array_equal(read_rgba(folder / "cell_1.npz"), expected(pairs, "cell_1"))


def test_sizes_must_agree_unless_masks_may_be_resized(build, pairs):
    halves = np.repeat(np.arange(2, dtype=np.uint8), 16)[None].repeat(16, 0)  # 32 x 16
    write_png(pairs / "masks" / "cell_2.png", halves)
    with pytest.raises(
        RuntimeError,
        match=r"cell_2.png is 32 x 16 but .*cell_2.png is 64 x 64 pixels.*have masks resized",
    ):
        build()
    hint = read_rgba(build("--resize_masks") / "cell_2.npz")
    assert np.array_equal(hint[..., 0], np.repeat([1, 0], 32)[None].repeat(64, 0))
    assert np.array_equal(hint[..., 1], 1 - hint[..., 0])


def test_bad_input_is_one_line(pairs, tmp_path, error_line):
    def line(*options, images=pairs / "images", masks=pairs / "masks"):
        words = f"--img_dir {images} --mask_dir {masks} --num_workers 0 "
        words += f"--dest_dir {tmp_path / 'out'}"
        return error_line(build_rgba_dataset.main, *words.split(), *options)

    assert "none: no such folder" in line(images=tmp_path / "none")
    assert "--num-mask-classes: 4 classes, but R, G and B hold 3 planes. Merge" in line(
        "--num-mask-classes", 4
    )
    assert "--canny-low: 300 is above the high threshold, 200" in line("--canny-low", 300)
    assert "is inside --img_dir" in line("--dest_dir", pairs / "images" / "rgba")
    (tmp_path / "strange").mkdir()
    write_png(tmp_path / "strange" / "x.png", np.zeros((64, 64), np.uint8))
    assert "no mask for any of the 6 images" in line(masks=tmp_path / "strange")
    assert not (tmp_path / "out").exists()
    write_png(pairs / "masks" / "cell_3.png", np.full((64, 64), 3, np.uint8))
    assert "cell_3.png: found value(s) 3, expected 0..2" in line()
    assert "cell_0.png: found value(s) 2, expected 0..1" in line("--num_classes", 2, "--overwrite")
    broken = pairs / "images" / "cell_0.png"
    broken.write_bytes(broken.read_bytes()[:200])
    assert "cell_0.png: cannot be read as an image" in line("--overwrite")


def test_train_and_generate_take_the_folder_that_was_asked_for(build, tmp_path):
    """The published commands name DEST, not DEST/100_200."""
    folder = build()
    rgba = create_condition("rgba")
    assert rgba.list_files(tmp_path / "out") == rgba.list_files(folder)
    build("--canny-low", 50)
    with pytest.raises(
        FileNotFoundError, match=r"out: holds 2 folders of tensors \(100_200, 50_200\). Name one"
    ):
        create_condition("rgba").list_files(tmp_path / "out")
