"""A run as a data set: which files it holds, and that a training reads it."""

import csv

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Dataset

from core.command_line.options import OptionError
from core.imaging.images import write_png
from generation.exporting import dataset
from utils import train_segmenter


def check(folder, *real):
    """The real pairs of an export."""
    return dataset.check_export(dataset.ExportOptions(folder, real or None), 3)


def exported(run_dir, pairs, tmp_path):
    folder, folders = tmp_path / "set", (pairs / "images", pairs / "masks")
    options = dataset.ExportOptions(folder, folders)
    assert dataset.export_dataset(options, run_dir, dataset.check_export(options, 3), 3) == 10
    return folder


class Folder(Dataset):
    """What most segmentation code reads: equal names in two folders."""

    def __init__(self, root):
        self.names = sorted(path.name for path in (root / "images").iterdir())
        self.root = root

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        return tuple(
            np.array(Image.open(self.root / kind / self.names[i])) for kind in ("images", "masks")
        )


def test_a_plain_loader_reads_it(run_dir, pairs, tmp_path):
    folder = exported(run_dir, pairs, tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "images", "masks", "splits.csv"]
    data = Folder(folder)
    assert len(data) == 10 == len(list((folder / "masks").iterdir()))
    for image, mask in data:
        assert (
            image.shape == mask.shape == (64, 64)
            and image.dtype == mask.dtype == np.uint8
            and set(np.unique(mask)) <= {0, 1, 2}
        )
    i = data.names.index("synth_cond1_batch1_sample0.png")
    assert np.array_equal(data[i][1], np.array(Image.open(pairs / "masks" / "cell_1.png")))
    grey = np.array(
        Image.open(run_dir / "images" / "image_cond1_batch1_sample0.png").convert("L")
    ).astype(int)
    assert np.abs(data[i][0] - grey).max() <= 1  # Pillow's weights, in whole numbers
    assert np.array_equal(
        data[data.names.index("real_cell_2.png")][0],
        np.array(Image.open(pairs / "images" / "cell_2.png")),
    )


def test_splits_say_what_each_pair_is(run_dir, pairs, tmp_path):
    folder = exported(run_dir, pairs, tmp_path)
    with open(folder / "splits.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {path.name for path in (folder / "images").iterdir()}
    assert {row["split"] for row in rows.values()} == {"train"}
    assert sum(row["source"] == "real" for row in rows.values()) == 6
    synth, real = rows["synth_cond1_batch2_sample0.png"], rows["real_cell_1.png"]
    assert synth["group"] == real["group"] == "cell_1"
    assert synth["condition"] == real["condition"] == "cell_1.png"
    shown = [synth[column] for column in ("source", "seed", "prompt")]
    assert shown == ["synthetic", "103", "a cell, grey"] and real["seed"] == ""


def test_the_segmenter_trains_on_it(run_dir, pairs, tmp_path):
    folder = exported(run_dir, pairs, tmp_path)
    words = f"train --image_path {folder / 'images'} --mask_path {folder / 'masks'}"
    words += f" --output {tmp_path / 'seg.ckpt'} --max_steps 1 --batch_size 2 --image_size 32"
    train_segmenter.main([*words.split(), "--device", "cpu"])
    assert (tmp_path / "seg.ckpt").is_file()


def test_colours_stay_where_a_real_image_has_them_or_none_is_given(run_dir, pairs, tmp_path):
    write_png(
        pairs / "images" / "cell_0.png",
        np.dstack([np.full((64, 64), value, np.uint8) for value in (10, 20, 30)]),
    )
    folder = exported(run_dir, pairs, tmp_path)
    assert {image.shape for image, _ in Folder(folder)} == {(64, 64, 3)}
    alone = tmp_path / "alone"
    assert dataset.export_dataset(dataset.ExportOptions(alone), run_dir, [], 3) == 4
    name = "cond0_batch1_sample0.png"
    assert (alone / "images" / f"synth_{name}").read_bytes() == (
        run_dir / "images" / f"image_{name}"
    ).read_bytes()


def test_real_masks_mark_ignored_pixels_where_that_is_said(run_dir, pairs, tmp_path):
    mask = np.array(Image.open(pairs / "masks" / "cell_3.png"))
    mask[:9] = 255
    write_png(pairs / "masks" / "cell_3.png", mask)
    with pytest.raises(ValueError, match="cell_3.png: found value.* 255, .*--ignore_255"):
        exported(run_dir, pairs, tmp_path)
    folders = pairs / "images", pairs / "masks"
    options = dataset.ExportOptions(tmp_path / "set", folders, ignore_255=True)
    options.check()
    assert options.words()[-1] == "--ignore_255"
    dataset.export_dataset(options, run_dir, dataset.check_export(options, 3), 3)
    written = np.array(Image.open(tmp_path / "set" / "masks" / "real_cell_3.png"))
    assert np.array_equal(written, mask)
    assert "to be ignored with 255" in (tmp_path / "set" / "README.md").read_text()
    with pytest.raises(OptionError, match="needs --include_real"):
        dataset.ExportOptions(tmp_path / "set", ignore_255=True).check()


def test_a_failure_leaves_nothing(run_dir, pairs, tmp_path):
    (run_dir / "masks" / "image_cond1_batch2_sample0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="image_cond1_batch2_sample0.png: cannot be read"):
        exported(run_dir, pairs, tmp_path)
    assert not (tmp_path / "set").exists() and not [
        path for path in tmp_path.iterdir() if path.name.startswith(".")
    ]


def test_bad_targets_and_pairs(pairs, tmp_path):
    real = [pairs / "images", pairs / "masks"]
    (tmp_path / "empty").mkdir()
    assert len(check(tmp_path / "empty", *real)) == 6
    (tmp_path / "empty" / "x").touch()
    for taken in (tmp_path / "empty", tmp_path / "empty" / "x"):
        with pytest.raises(FileExistsError, match="--export_dataset .* not an empty folder"):
            check(taken, *real)
    with pytest.raises(PermissionError, match="nothing can be written to"):
        check(tmp_path / "empty" / "x" / "y", *real)
    (pairs / "masks" / "cell_3.png").unlink()
    with pytest.raises(RuntimeError, match="do not pair one to one"):
        check(tmp_path / "new", *real)


def test_no_data_set_stands_among_the_pictures_of_its_run(run_dir):
    options = dataset.ExportOptions(run_dir / "images" / "set")
    with pytest.raises(FileExistsError, match="is among the pictures of the run"):
        dataset.check_export(options, 3, run_dir)
    assert dataset.check_export(dataset.ExportOptions(run_dir / "set"), 3, run_dir) == []
