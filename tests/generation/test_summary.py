"""The text of a dry run; every number follows from two conditions with two images each."""

import dataclasses
from pathlib import Path

from cldm.options import SamplingOptions
from conditions.pairs import Pair
from generation.exporting.dataset import ExportOptions
from generation.exporting.exports import Exports
from generation.exporting.volume import VolumeOptions
from generation.summary import plan_text
from tests.generation.made_up import write_image


def shown(run, pending=4, export=None, num_real=0):
    """The text's words, with single spaces between them."""
    real = [Pair(Path("image"), Path("mask"))] * num_real
    exports = Exports(ExportOptions(export and Path(export)), VolumeOptions(), real, 3, None)
    return " ".join(plan_text(run, pending, SamplingOptions(), exports).split())


def test_a_new_run(new_run, tmp_path):
    text = shown(new_run(run_id=None))
    assert text.startswith("conditions: 2 images: 4, 2 for each condition prompts: 2, one drawn")
    assert "sampling: ddim, 70 steps, 72 evaluations of the U-Net for each image" in text
    assert f"mask segmentation 2 1 {tmp_path / 'masks'} w d depth 2 1" in text
    assert f"folder: {tmp_path}/run_<time>, new" in text  # the next call draws another name
    assert "images/ 4 0 masks/ 4 0 conditions/mask/ 4 0 conditions/d/ 4 0 args.json 1 0" in text
    assert "data set" not in text


def test_a_run_that_is_there(new_run):
    run = new_run()
    run.open()
    write_image(run, 3)
    text = shown(run, pending=3)
    assert f"folder: {run.folder}, there already" in text
    assert "images/ 3 1 masks/ 3 1 conditions/mask/ 3 1 conditions/d/ 3 1" in text
    # Record and state say how the run was started, so they stay.
    assert "args.json 0 1 generate_state.json 0 1 manifest.jsonl 1 1 overview.png 1 0" in text


def test_without_labels_there_are_no_masks(new_run):
    assert "masks/" not in shown(new_run(names=("d",))).replace("/masks/", "")


def test_a_named_run_and_its_data_set(new_run):
    run = new_run(run_id="x")
    text = shown(run, export="set", num_real=3)
    assert f"folder: {run.folder}, new" in text
    assert text.endswith("data set: set, 7 pairs, 3 real")


def test_a_stack_and_its_volume(new_run):
    run = new_run(run_id="x")
    run.plan = dataclasses.replace(run.plan, stack=16.0)
    exports = Exports(ExportOptions(), VolumeOptions(Path("a.tif")), [], 3, None)
    text = plan_text(run, 4, SamplingOptions(), exports)
    assert "prompts: 2, one drawn for each stack\nstack: noise of other seeds after 16 sl" in text
    assert text.endswith("volume: a.tif, 4 slices")
