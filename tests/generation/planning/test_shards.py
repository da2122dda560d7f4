"""The part of a process: from its options, a Slurm array or torchrun."""

import pytest

from generation.planning.shards import Shard, ShardOptions, find_shard, shard_of_environment
from generation.run_options import GenerationRunOptions, name_of_run

SLURM = {
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_STEP": "3",
    "SLURM_ARRAY_TASK_COUNT": "4",
    "SLURM_ARRAY_JOB_ID": "31",
}


@pytest.fixture
def array(monkeypatch):
    """The environment of task 7 of --array=1-10:3."""
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_alone_without_an_array():
    assert find_shard(ShardOptions()) == Shard(0, 1)
    assert name_of_run(GenerationRunOptions(), Shard(0, 1)) is None
    assert name_of_run(GenerationRunOptions(), Shard(0, 2)) is None


def test_shards_of_a_slurm_array_and_of_torchrun(array):
    assert shard_of_environment() == (2, 4)
    array.setenv("RANK", "1")
    array.setenv("WORLD_SIZE", "2")
    assert find_shard(ShardOptions()) == (5, 8)
    assert name_of_run(GenerationRunOptions(), Shard(5, 8)) == "slurm_31"


@pytest.mark.usefixtures("array")
def test_options_win_over_the_array():
    assert find_shard(ShardOptions(num_shards=1, shard_index=0)) == (0, 1)
    assert name_of_run(GenerationRunOptions(run_id="mine"), Shard(2, 4)) == "mine"
    assert name_of_run(GenerationRunOptions(), Shard(0, 1)) is None


def test_an_irregular_array_is_refused(array):
    array.setenv("SLURM_ARRAY_TASK_STEP", "1")  # --array=1,7 has two tasks, but no step
    array.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    with pytest.raises(ValueError, match=r"--shard_index 6: expected 0..1 \(--num_shards 2\)"):
        find_shard(ShardOptions())


@pytest.mark.parametrize("options", [{"num_shards": 2}, {"shard_index": 0}])
def test_half_a_shard_is_refused(options):
    with pytest.raises(ValueError, match="belong together"):
        find_shard(ShardOptions(**options))


def test_a_variable_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "x")
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_ID is 'x', expected a whole number"):
        find_shard(ShardOptions())
    with pytest.raises(ValueError, match="--num_shards 1000000000000: expected at most 100000"):
        find_shard(ShardOptions(num_shards=10**12, shard_index=5))
