"""Stacks of a whole run: equal in any batch, shard and resume; exported; wrong options."""

import re

import numpy as np
import pytest
import tifffile

from core.imaging.images import read_image, write_png
from core.imaging.labels import read_labels

STACK = ["--stack", 6, "--sampler", "dpmpp", "--scale", 1]


def stack_of(run_dir):
    paths = sorted((run_dir / "images").iterdir())
    return np.stack([read_image(path) for path in paths])  # (6, 64, 64, 3)


def test_a_stack_is_the_same_however_it_is_made(run, tmp_path):
    whole = stack_of(run(*STACK, "--batch_size_per_inference", 4))
    for shard in (0, 1):
        run(*STACK, "--num_shards", 2, "--shard_index", shard, "--run_id", "parts", output="b")
    parts = tmp_path / "b" / "run_parts"
    assert (stack_of(parts) == whole).all()
    (parts / "images" / "image_cond3_batch1_sample0.png").unlink()
    run("--resume_run", parts, "--export_volume", tmp_path / "a.tif", masks=None)
    assert (stack_of(parts) == whole).all()
    volume = tifffile.imread(tmp_path / "a.tif")
    assert volume.shape == tifffile.imread(tmp_path / "a_masks.tif").shape == (6, 64, 64)
    alone = stack_of(run(*STACK[2:], output="c"))
    assert change_per_slice(whole) < 0.7 * change_per_slice(alone)
    assert '"stack": 6.0' in (parts / "manifest.jsonl").read_text()


def change_per_slice(stack):
    return np.abs(np.diff(stack, axis=0)).mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stack", 6], "--stack: --sampler ddim adds noise.*--eta 0"),
        (["--stack", 0], "argument --stack: 0 is not"),
        (["--export_volume", "a.tif"], "--export_volume: needs --stack"),
        ([*STACK, "--export_volume", "a.nii"], "expected a name that ends in .zarr or .tif"),
        ([*STACK, "--n_augmentations_per_mask", 2, "--export_volume", "a.tif"], "one image per"),
        (
            [*STACK, "--num_shards", 2, "--shard_index", 0, "--run_id", "x"]
            + ["--export_volume", "a.tif"],
            "--export_volume needs the whole set",
        ),
    ],
)
def test_wrong_options_are_one_line(options, message, run, capsys):
    with pytest.raises((SystemExit, ValueError)) as error:
        run(*options)
    assert re.search(message, f"{error.value} {capsys.readouterr().err}")


def test_a_slice_of_another_size_is_named_by_every_shard(run, pairs):
    mask = read_labels(pairs / "masks" / "cell_5.png")
    write_png(pairs / "masks" / "cell_5.png", np.pad(mask, ((0, 64), (0, 0))).astype(np.uint8))
    for shard in (0, 1):
        with pytest.raises(ValueError, match="cell_5 has 64 x 128 pixels"):
            run(*STACK, "--num_shards", 2, "--shard_index", shard, "--run_id", "parts")


def test_a_missing_slice_is_named(run, pairs):
    (pairs / "masks" / "cell_2.png").unlink()
    with pytest.raises(ValueError, match="cell_3 comes 2 after cell_1"):
        run(*STACK)
