"""What follows from the options of a call, before a file is read."""

import dataclasses
from pathlib import Path

import pytest

from cldm.options import SamplingOptions
from generation.exporting.dataset import ExportOptions
from generation.folder.image_line import GATE_OPTIONS, IMAGE_OPTIONS
from generation.options import DrawingOptions, GateOptions, GrainOptions, ModelOptions
from generation.planning.branches import BranchOptions
from generation.planning.plan import PlanOptions
from generation.planning.published_options import DRAWN_ON_THE_FLY, PublishedOptions
from generation.planning.shards import ShardOptions
from generation.planning.start import StartImageOptions
from generation.run_options import OF_ONE_CALL, GenerationRunOptions
from generation.settings import FREE_ON_RESUME, GROUPS, SAMPLING_FLAGS, Settings

MASKS = PublishedOptions(mask_dir=Path("m"))
DEPTH = BranchOptions(branches=["d=depth:x"])


def settings(**groups):
    """Settings with the defaults of all groups but these."""
    defaults = {name: group.options() for name, group in GROUPS.items()}
    drawn_edges = DRAWN_ON_THE_FLY["canny"].options()
    return Settings(**{**defaults, "drawn_edges": drawn_edges, **groups})


def test_every_group_is_a_field():
    fields = [field.name for field in dataclasses.fields(Settings)]
    assert fields == [*GROUPS, "drawn_edges", "dry_run", "values"]
    assert set(SAMPLING_FLAGS) == {field.name for field in dataclasses.fields(SamplingOptions)}


def test_options_of_speed_are_free_on_resume_but_taken_over():
    names = {field.name for field in dataclasses.fields(DrawingOptions)}
    assert names | {"max_pixels"} == FREE_ON_RESUME - OF_ONE_CALL


def test_lines_of_the_manifest_hold_all_options_of_sampling_and_gate():
    assert {*SAMPLING_FLAGS.values()} <= {*IMAGE_OPTIONS}
    files = {"gate_segmenter", "gate_pairs"}  # whose checksums are among the weights
    assert {field.name for field in dataclasses.fields(GateOptions)} - files == {*GATE_OPTIONS}


def test_published_branches_come_before_general_ones():
    branches = settings(published=MASKS, general_branches=DEPTH).branches
    assert [(branch.name, branch.folder) for branch in branches] == [
        ("mask", Path("m")),
        ("d", Path("x")),
    ]
    assert {branch.weights for branch in branches} == {ModelOptions().model_weights_path}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "no condition is given"),
        (
            {
                "grain": GrainOptions(Path("grain.json")),
                "general_branches": BranchOptions(branches=["grain=depth:x"]),
            },
            "a branch is named grain, the name by which the run records what --grain gives",
        ),
        (
            {
                "gate": GateOptions(Path("s"), gate_pairs=[Path("i"), Path("m")]),
                "general_branches": BranchOptions(branches=["gate_pairs=depth:x"]),
            },
            "a branch is named gate_pairs, the name by which",
        ),
        (
            {"published": MASKS, "shards": ShardOptions(2, 0)},
            "--run_id is needed with --num_shards",
        ),
        (
            {
                "published": MASKS,
                "shards": ShardOptions(2, 0),
                "run": GenerationRunOptions(run_id="x"),
                "export": ExportOptions(Path("set")),
            },
            "--export_dataset needs the whole set",
        ),
        (
            {"published": MASKS, "start": StartImageOptions((0.4, 0.8), Path("i"))},
            "--encode_ratio: 2 values are taken by turns .* Give --n_augmentations_per_mask 2",
        ),
        (
            {"general_branches": DEPTH, "export": ExportOptions(Path("set"))},
            "--export_dataset: no condition carries labels",
        ),
    ],
)
def test_groups_that_contradict_each_other(groups, message):
    with pytest.raises(ValueError, match=message):
        settings(**groups).check()


def test_the_record_holds_what_was_found(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "4")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "31")
    values = {"device": "auto", "num_shards": None, "scale": 9.0}
    found = settings(published=MASKS, model=ModelOptions(device="cpu"), values=values)
    assert found.record() == {
        "scale": 9.0,
        "generation_mode": "mask_only",
        "device": "cpu",
        "run_id": "slurm_31",
        "num_shards": 4,
        "shard_index": 2,
    }


def test_unused_options_have_their_reason():
    unused = settings(published=MASKS, sampling=SamplingOptions("dpmpp", 20)).unused()
    assert unused["eta"] == "by --sampler dpmpp"
    assert unused["edge_dirs"] == unused["canny_low"] == "in mode mask_only"
    assert not {"mask_dir", "num_classes", "scale"} & unused.keys()
    assert settings(general_branches=DEPTH).unused()["mask_dir"] == "with these --branches"
    plain = settings(published=MASKS, sampling=SamplingOptions(scale=1.0)).unused()
    assert plain["guidance_interval"] == "with --scale 1, which is no guidance"
    assert plain["resample"] == "with one image per condition"
    assert plain["max_redraws"] == "without --min_agreement"
    assert "save_memory" not in plain
    on_cpu = settings(published=MASKS, model=ModelOptions(device="cpu")).unused()
    assert on_cpu["cuda_graphs"] == on_cpu["save_memory"] == "on a CPU"
    more = settings(published=MASKS, plan=PlanOptions(2), gate=GateOptions(Path("s"), 0.5)).unused()
    assert not {"resample", "max_redraws"} & more.keys()
