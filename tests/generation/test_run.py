"""A run without a model: its images are made up."""

import dataclasses
import json

import numpy as np
import pytest

from core.images import read_grey, read_labels
from generation.manifest import read_manifest
from generation.run_options import options_of_run
from tests.generation.made_up import write_image


def test_a_run_from_start_to_end(new_run):
    run = new_run()
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


def test_without_labels_there_are_no_masks(new_run):
    run = new_run(names=("d",))
    run.open()
    write_image(run, 0)
    assert run.finish() == 1
    assert not run.has_masks and not list((run.folder / "masks").iterdir())
    assert read_manifest(run.folder)[0]["mask"] is None
    assert json.loads((run.folder / "generate_state.json").read_text())["has_masks"] is False


def test_a_drawn_seed_is_shared_by_all_that_join(new_run):
    first, second = new_run(seed=-1), new_run(seed=-1)
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
def test_another_run_is_not_joined(new_run, changes, message):
    new_run().open()
    with pytest.raises(ValueError, match=message):
        new_run(**changes).join()


def test_options_that_a_record_lacks_do_not_refuse_it(new_run):
    """Runs of older versions lack the newest options."""
    new_run().open()
    newer = new_run(branches=None, membrane_scale=4.0, dry_run=True)
    newer.join()
    assert newer.seed == 5


def test_options_of_one_call_are_not_taken_over(new_run):
    run = new_run(run_id="one", num_shards=3, dry_run=False, options_file="x.yaml")
    run.open()
    saved = options_of_run(run.folder)
    assert saved["n_augmentations_per_mask"] == 2
    assert not {"run_id", "num_shards", "dry_run", "options_file"} & saved.keys()


def test_the_plan_takes_another_seed_without_changing_names(new_run):
    plan = new_run().plan
    other = dataclasses.replace(plan, seed=6)
    assert other[3].seed != plan[3].seed and other.file_name(3) == plan.file_name(3)
