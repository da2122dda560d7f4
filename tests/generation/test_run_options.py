"""Name and folder of a run."""

import dataclasses
from pathlib import Path

from generation.planning.shards import Shard
from generation.run_options import GenerationRunOptions, folder_of_run, name_of_run


def test_tasks_of_an_array_share_a_name_where_they_share_a_set(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "31")
    assert name_of_run(GenerationRunOptions(), Shard(0, 2)) == "slurm_31"
    assert name_of_run(GenerationRunOptions(), Shard(0, 1)) is None
    assert name_of_run(GenerationRunOptions(run_id="mine"), Shard(0, 2)) == "mine"
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    assert name_of_run(GenerationRunOptions(), Shard(0, 2)) is None


def test_the_folder_is_the_one_to_resume_or_that_of_the_name():
    here = GenerationRunOptions(output_base_dir=Path("out"))
    assert folder_of_run(here, "a") == Path("out/run_a")
    assert folder_of_run(here, None) != folder_of_run(here, None)  # each call draws a name
    resumed = dataclasses.replace(here, resume_run=Path("old/run_b"))
    assert folder_of_run(resumed, "a") == Path("old/run_b")
