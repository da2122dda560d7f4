"""The program that cuts volumes into slices: files, records, memory, refusals."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.imaging.images import write_png
from core.imaging.labels import read_labels
from core.notices import Notice
from tests.volumes.stacks import cut, voxels
from utils import slices

FLY = Path(__file__).parents[3] / "shared" / "data" / "fly_fibsem"


@pytest.fixture
def stacks(tmp_path):
    """Paths of a volume with a pixel size, and of its labels 0, 127 and 255."""
    image = voxels(np.uint16, (12, 20, 30))
    tags = {"metadata": {"spacing": 8, "unit": "nm"}, "resolution": (1 / 4, 1 / 4)}
    tifffile.imwrite(tmp_path / "cell.tif", image, imagej=True, **tags)
    labels = np.array([0, 127, 255], np.uint8)[image % 3]
    tifffile.imwrite(tmp_path / "labels.tif", labels, compression="zlib", photometric="minisblack")
    return tmp_path / "cell.tif", tmp_path / "labels.tif"


def pictures(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.png"))}


MAP = ("--map", "0=0", "127=1", "255=2")


def test_images_and_masks_of_the_same_names(stacks, tmp_path):
    image, labels = stacks
    cut(image, tmp_path / "out", "--labels", labels, *MAP)
    names = [f"cell_z{z:02}.png" for z in range(12)]
    for kind in ("images", "masks"):
        assert sorted(path.name for path in (tmp_path / "out" / kind).glob("*.png")) == names
    expected = tifffile.imread(image)
    with Image.open(tmp_path / "out/images/cell_z07.png") as written:
        np.testing.assert_array_equal(np.array(written), expected[7])
    np.testing.assert_array_equal(read_labels(tmp_path / "out/masks/cell_z07.png"), expected[7] % 3)
    record = json.loads((tmp_path / "out/masks/volume.json").read_text())
    assert record["pixel_size_nm"] == [4, 4] and record["slice_distance_nm"] == 8


def test_negative_labels_are_mapped(tmp_path):
    image, labels, out = tmp_path / "a.tif", tmp_path / "labels.tif", tmp_path / "out"
    tifffile.imwrite(image, voxels(shape=(2, 4, 4)), photometric="minisblack")
    stored = (voxels(shape=(2, 4, 4)) % 2).astype(np.int16) - 1
    tifffile.imwrite(labels, stored, photometric="minisblack")
    cut(image, out, "--labels", labels, "--map", "0=0", "-1=255")
    assert read_labels(out / "masks/a_z0.png")[0].tolist() == [255, 0, 255, 0]


def test_slices_along_x_in_parts_and_tiles(stacks, tmp_path):
    image, labels = stacks
    words = "--axis x --step 3 --split train=0.5 val=0.5 --gap 6 --tile 8 --name c".split()
    cut(image, tmp_path / "out", "--labels", labels, *MAP, *words)
    expected = tifffile.imread(image)
    train = [0, 3, 6, 9]  # half of 30 - 3 - 6 slices from 0 on
    stems = [f"c_x{x:02}_z{z:02}_y{y:02}" for x in train for z in (0, 4) for y in (0, 8, 12)]
    assert sorted(pictures(tmp_path / "out/train/images")) == [f"{stem}.png" for stem in stems]
    with Image.open(tmp_path / "out/train/images/c_x09_z04_y12.png") as written:
        np.testing.assert_array_equal(np.array(written), expected[4:12, 12:20, 9])
    assert min(pictures(tmp_path / "out/val/masks")).startswith("c_x18")
    record = json.loads((tmp_path / "out/val/images/volume.json").read_text())
    assert record["pixel_size_nm"] == [8, 4] and record["slice_distance_nm"] == 12


def test_a_second_call_goes_on_and_other_options_are_refused(stacks, tmp_path, capsys, error_line):
    image, out = stacks[0], tmp_path / "out"
    cut(image, out)
    whole = pictures(out)
    kept = out / "images/cell_z03.png"
    before = kept.stat().st_mtime_ns
    for name in ("cell_z00.png", "cell_z05.png"):
        (out / "images" / name).unlink()
    (out / "images/.cell_z05.abc.tmp.png").touch()
    capsys.readouterr()
    cut(image, out, "--memory", "1")
    assert "2 slices are missing" in capsys.readouterr().out
    assert pictures(out) == whole and kept.stat().st_mtime_ns == before
    line = error_line(slices.main, image, out, "--step", "2")
    assert "--step" in line and f"{out}/slices.json: was made with 1" in line
    tifffile.imwrite(image, voxels(np.uint16, (12, 20, 30)) + 1)
    assert f"{out}/slices.json: cell.tif has changed since" in error_line(slices.main, image, out)


def test_labels_that_were_corrected_meanwhile_are_not_mixed(stacks, tmp_path, error_line):
    """In one slice of a folder, under the same name, and of the same size."""
    image, labels, out = stacks[0], tmp_path / "masks", tmp_path / "masks" / "out"
    labels.mkdir()
    for i in range(12):
        write_png(labels / f"{i:02}.png", np.full((20, 30), i % 2, np.uint8))
    words = (image, out, "--labels", labels)
    cut(*words)
    (out / "masks/cell_z03.png").unlink()
    (labels / ".DS_Store").touch()
    (labels / "readme.txt").touch()
    cut(*words)
    record = json.loads((out / "slices.json").read_text())
    old = record | {"volumes": [record["volumes"][0], {**record["volumes"][1]}]}
    del old["volumes"][1]["files"]
    write_png(labels / "04.png", np.full((20, 30), 1, np.uint8))
    assert "slices.json: masks has changed since" in error_line(slices.main, *words)
    (out / "slices.json").write_text(json.dumps(old))  # an older version noted nothing of it
    cut(*words)


def test_the_window_is_stored_and_kept(tmp_path):
    array = np.random.default_rng(0).normal(size=(6, 20, 20)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    cut(tmp_path / "a.tif", tmp_path / "out")
    low, high = json.loads((tmp_path / "out/images/volume.json").read_text())["window"]
    assert low == pytest.approx(np.percentile(array, 0.1))
    with Image.open(tmp_path / "out/images/a_z2.png") as written:
        expected = (np.clip((array[2] - low) / (high - low), 0, 1) * 255).round()
        assert np.abs(np.array(written) - expected).max() <= 1  # float32 rounds otherwise


def test_memory_stays_below_the_volume(tmp_path):
    """A volume of 300 MB, of which at most 16 MB are to be read at once."""
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, shape=(3000, 320, 320), dtype=np.uint8, photometric="minisblack")
    code = (
        "import resource; from utils import slices\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"words = [{str(path)!r}, {str(tmp_path / 'out')!r}, '--memory', '16']\n"
        "slices.main([*words, '--axis', 'y', '--range', '0:40'])\n"
        "print(peak() - before)\n"
    )
    root = Path(slices.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 150 * 1024  # KiB
    assert len(pictures(tmp_path / "out")) == 40


@pytest.mark.parametrize("kind", ["folder", "stack"])
def test_labels_in_jpeg_are_warned_of_and_named_as_the_cause(stacks, tmp_path, error_line, kind):
    image, labels = stacks[0], tmp_path / "masks.tif"
    flat = np.full((12, 20, 30), 127, np.uint8)
    if kind == "folder":
        labels = tmp_path / "masks"
        labels.mkdir()
        for i, plane in enumerate(flat):
            Image.fromarray(plane).save(labels / f"{i:02}.jpg")
    else:
        tifffile.imwrite(labels, flat, compression="jpeg", photometric="minisblack")
    with pytest.warns(Notice, match=f"{labels}: the labels are compressed as JPEG"):
        cut(image, tmp_path / "out", "--labels", labels, "--map", "127=1")
    with pytest.warns(Notice):
        line = error_line(slices.main, image, tmp_path / "new", "--labels", labels)
    assert "(compressed as JPEG, which changes labels): found label 127" in line


def test_volumes_that_do_not_belong_together(stacks, tmp_path, error_line):
    image, labels = stacks
    out = tmp_path / "out"
    tifffile.imwrite(tmp_path / "short.tif", tifffile.imread(labels)[:-1], photometric="minisblack")
    line = error_line(slices.main, image, out, "--labels", tmp_path / "short.tif")
    assert "(11, 20, 30)" in line and "(12, 20, 30)" in line
    tags = {"metadata": {"spacing": 8, "unit": "nm"}, "resolution": (1 / 5, 1 / 5)}
    tifffile.imwrite(tmp_path / "other.tif", tifffile.imread(labels), imagej=True, **tags)
    other = ("--labels", tmp_path / "other.tif", *MAP)
    assert "5 nm along y" in error_line(slices.main, image, out, *other)
    assert not out.exists()
    cut(image, out, *other, "--pixel_size", "4", "--range", ":2")
    assert json.loads((out / "images/volume.json").read_text())["slice_distance_nm"] == 4


def test_rows_of_mrc_beside_another_format_are_warned_of(stacks, tmp_path, recwarn):
    mrcfile = pytest.importorskip("mrcfile")
    for name, array in (("cell", tifffile.imread(stacks[0])), ("labels", np.zeros((12, 20, 30)))):
        mrcfile.new(tmp_path / f"{name}.mrc", array.astype(np.int16)).close()
    cell, labels = tmp_path / "cell.mrc", tmp_path / "labels.mrc"
    for i, pair in enumerate(((cell, stacks[1]), (stacks[0], labels), (cell, labels), stacks)):
        recwarn.clear()
        cut(pair[0], tmp_path / str(i), "--labels", pair[1], *MAP, "--range", ":1")
        told = [str(w.message) for w in recwarn if w.category is Notice]
        assert len(told) == (i < 2) and all(
            "count the rows of MRC from the bottom" in m for m in told
        )


def test_slices_numbered_from_0_and_from_1_are_paired_in_order(tmp_path):
    for start, folder in ((0, tmp_path / "em"), (1, tmp_path / "seg")):
        folder.mkdir()
        for z in range(4):
            Image.fromarray(np.full((4, 4), z, np.uint8)).save(folder / f"{start + z}.png")
    with pytest.warns(Notice, match="numbered from 1 on, those of .*em from 0 on"):
        cut(tmp_path / "em", tmp_path / "out", "--labels", tmp_path / "seg")
    values = [read_labels(path)[0, 0] for path in sorted((tmp_path / "out/masks").glob("*.png"))]
    assert values == [0, 1, 2, 3]


def test_folders_of_slices_are_paired_by_number(tmp_path, error_line):
    image, labels, out = tmp_path / "em", tmp_path / "seg", tmp_path / "out"
    for folder in (image, labels):
        folder.mkdir()
        for z in range(8, 12):
            Image.fromarray(np.full((4, 4), z, np.uint8)).save(folder / f"{folder.name}_{z}.png")
    cut(image, out, "--labels", labels)
    for kind in ("images", "masks"):
        values = [read_labels(path)[0, 0] for path in sorted((out / kind).glob("*.png"))]
        assert values == [8, 9, 10, 11]
    (image / "em_9.png").unlink()
    line = error_line(slices.main, image, tmp_path / "b", "--labels", labels)
    assert f"{image}: no slice has the number 9, which {labels} has" in line
    (labels / "seg_10.png").unlink()
    line = error_line(slices.main, image, tmp_path / "b", "--labels", labels)
    assert f"{labels}: no slice has the number 10, which {image} has" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "{labels}"], "label 127"),
        (["--labels", "{labels}", "--map", "0=0"], "Add 127=CLASS"),
        (["--map", "0=0"], "only read with --labels"),
        (["--labels", "{labels}", "--labels_at", "c=0"], "--labels_at: c: "),
        (["--tile", "21"], "--tile: 21: slices have 30 x 20 pixels"),
        (["--level", "1"], "--level: 1"),
        (["--split", "train"], "--split"),
        (["--split", "../a=0.5"], "--split"),
        (["--pixel_size", "1", "2"], "--pixel_size: expected one number, or three"),
        (["--range", "5"], "--range"),
        (["--at", "cc"], "--at"),
        (["--name", "../a"], "--name"),
        (["--window", "2", "1"], "--window"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(stacks, tmp_path, error_line, words, message):
    words = [word.format(labels=stacks[1]) for word in words]
    assert message in error_line(slices.main, stacks[0], tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_a_link_to_nothing_is_refused_and_one_to_an_empty_folder_filled(
    stacks, tmp_path, error_line
):
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    line = error_line(slices.main, stacks[0], tmp_path / "out")
    assert f"{tmp_path / 'out'}: a link to {tmp_path / 'disk'}, which is not there" in line
    assert not (tmp_path / "disk").exists()
    (tmp_path / "disk").mkdir()
    cut(stacks[0], tmp_path / "out")
    assert len(pictures(tmp_path / "disk")) == 12


def test_a_folder_of_something_else_is_refused(stacks, tmp_path, error_line):
    assert "not an empty folder" in error_line(slices.main, stacks[0], tmp_path)
    (tmp_path / "slices.json").write_text("{}")
    assert "slices.json: damaged" in error_line(slices.main, stacks[0], tmp_path)


@pytest.mark.skipif(not FLY.is_dir(), reason="shared data are not here")
def test_a_real_stack(tmp_path):
    words = ["--labels", FLY / "stack_masks.tif", "--range", "0:3"]
    cut(FLY / "stack_images.tif", tmp_path / "out", *words)
    record = json.loads((tmp_path / "out/images/volume.json").read_text())
    assert record["pixel_size_nm"] == [10, 10]
    for kind in ("images", "masks"):
        stack = tifffile.imread(FLY / f"stack_{kind}.tif")
        with Image.open(tmp_path / f"out/{kind}/stack_images_z02.png") as written:
            np.testing.assert_array_equal(np.array(written), stack[2])
