"""A run without a model: its images are made up."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from conditions import create_condition
from core.images import read_grey, read_labels, write_png
from generation.branches import Branch
from generation.manifest import read_manifest
from generation.plan import SamplePlan, match_conditions
from generation.run import IMAGE_OPTIONS, Run
from generation.run_options import options_of_run

OPTIONS = {name: 0 for name in IMAGE_OPTIONS} | {"seed": 5, "num_classes": 3, "run_id": "x"}
OPTIONS |= {"n_augmentations_per_mask": 2, "num_shards": 1}


@pytest.fixture
def make(tmp_path):
    """Function to a run of two conditions, two images each, steered by masks and depth maps."""
    (tmp_path / "masks").mkdir()
    (tmp_path / "depth").mkdir()
    for i in range(2):
        write_png(tmp_path / "masks" / f"c{i}.png", np.full((8, 8), i, np.uint8))
        write_png(tmp_path / "depth" / f"c{i}.png", np.full((8, 8), 100 + i, np.uint8))

    def make(names=("mask", "d"), prompts=("a", "b"), weights="0f", **options):
        kinds = {"mask": ("segmentation", "masks"), "d": ("depth", "depth")}
        branches = [
            Branch(name, create_condition(kind), Path("w"), tmp_path / folder)
            for name in names
            for kind, folder in [kinds[name]]
        ]
        sets, _ = match_conditions([branch.list_files() for branch in branches])
        plan = SamplePlan(sets, 2, options.get("seed", 5), prompts)
        weights = dict.fromkeys(names, weights)
        return Run(tmp_path / "run", OPTIONS | options, plan, branches, weights, {"target": "x"})

    return make


def write_image(run, k):
    sample = run.plan[k]
    hints = [
        branch.read_hint(path)
        for branch, path in zip(run.branches, sample.conditions.files, strict=True)
    ]
    run.write(sample, hints, np.full((8, 8, 3), k, np.uint8))


def test_a_run_from_start_to_end(make):
    run = make()
    assert not run.exists and run.pending(range(4)) == [0, 1, 2, 3]
    run.open()
    assert run.exists
    for k in (2, 0):
        write_image(run, k)
    assert run.pending(range(4)) == [1, 3]
    assert run.finish() == 2
    names = [f"images/{run.plan.file_name(k)}" for k in (0, 2)]  # in the plan's order
    assert [line["image"] for line in read_manifest(run.folder)] == names
    line = read_manifest(run.folder)[1]
    assert line["seed"] == run.plan[2].seed and line["prompt"] in ("a", "b")
    assert (read_labels(run.folder / line["mask"]) == 1).all()
    depth = read_grey(run.folder / line["conditions"]["d"])
    assert np.allclose(depth * 255, 101, atol=0.01)
    assert line["options"]["strengths"] == {"mask": 1.0, "d": 1.0}
    assert (run.folder / "report.html").is_file()


def test_without_labels_there_are_no_masks(make):
    run = make(names=("d",))
    run.open()
    write_image(run, 0)
    assert run.finish() == 1
    assert not run.has_masks and not list((run.folder / "masks").iterdir())
    assert read_manifest(run.folder)[0]["mask"] is None
    assert json.loads((run.folder / "generate_state.json").read_text())["has_masks"] is False


def test_a_drawn_seed_is_shared_by_all_that_join(make):
    first, second = make(seed=-1), make(seed=-1)
    first.open()
    second.open()
    assert first.seed == second.seed == first.plan.seed == second.plan.seed >= 0
    assert options_of_run(first.folder)["seed"] == first.seed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": 9}, "another --strength"),
        ({"prompts": ("a",)}, "the prompts are not those"),
        ({"weights": "0e"}, "the weights are not those"),
        ({"names": ("d",)}, "the condition files are not those"),
    ],
)
def test_another_run_is_not_joined(make, changes, message):
    make().open()
    with pytest.raises(ValueError, match=message):
        make(**changes).join()


def test_options_that_a_record_lacks_do_not_refuse_it(make):
    """Runs of older versions lack the newest options."""
    make().open()
    newer = make(branches=None, membrane_scale=4.0, dry_run=True)
    newer.join()
    assert newer.seed == 5


def test_options_of_one_call_are_not_taken_over(make):
    run = make(run_id="one", num_shards=3, dry_run=False, options_file="x.yaml")
    run.open()
    saved = options_of_run(run.folder)
    assert saved["n_augmentations_per_mask"] == 2
    assert not {"run_id", "num_shards", "dry_run", "options_file"} & saved.keys()


def test_the_plan_takes_another_seed_without_changing_names(make):
    plan = make().plan
    other = dataclasses.replace(plan, seed=6)
    assert other[3].seed != plan[3].seed and other.file_name(3) == plan.file_name(3)
