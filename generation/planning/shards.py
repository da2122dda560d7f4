"""Shards: the parts of a set that several processes make, whichever scheduler started them."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from core.command_line.options import non_negative_int, option, positive_int

MAX_SHARDS = 100_000  # more than any cluster runs; the status of a run lists them all


class Shard(NamedTuple):
    """Part `index`, from 0, of `count`."""

    index: int
    count: int


@dataclass(frozen=True)
class ShardOptions:
    """The part of the set that this process makes."""

    num_shards: int | None = option(
        None,
        positive_int,
        "INT",
        "parts that the set is made in; those of a Slurm array or torchrun, else 1",
    )
    shard_index: int | None = option(
        None, non_negative_int, "INT", "part that this process makes, from 0"
    )


def find_shard(options: ShardOptions) -> Shard:
    """The part that was asked for, or else the one that the environment gives.

    Raises:
        ValueError: one option without the other, or an index that is not below the count.
    """
    # One alone could be completed from the scheduler, but then two sources decide one part.
    if (options.num_shards is None) != (options.shard_index is None):
        raise ValueError("--num_shards and --shard_index belong together: give both or neither")
    if options.num_shards is None:
        shard = shard_of_environment()
    else:
        shard = Shard(options.shard_index, options.num_shards)
    if shard.count > MAX_SHARDS:
        raise ValueError(f"--num_shards {shard.count}: expected at most {MAX_SHARDS}")
    if shard.index >= shard.count:  # also in an array such as --array=0,5: no regular parts
        raise ValueError(
            f"--shard_index {shard.index}: expected 0..{shard.count - 1} "
            f"(--num_shards {shard.count})"
        )
    return shard


def shard_of_environment() -> Shard:
    """Part of this process in a Slurm array, under torchrun, or under both.

    Under both, every task of the array has all ranks of torchrun.
    """

    def number(name, default):
        text = os.environ.get(name, str(default))
        if not text.isdecimal():
            raise ValueError(f"environment variable {name} is {text!r}, expected a whole number")
        return int(text)

    # --array=1-10:3 gives the tasks 1, 4, 7 and 10: parts 0 to 3.
    first, step = number("SLURM_ARRAY_TASK_MIN", 0), max(1, number("SLURM_ARRAY_TASK_STEP", 1))
    task = (number("SLURM_ARRAY_TASK_ID", 0) - first) // step
    ranks = number("WORLD_SIZE", 1)  # processes of torchrun, on all its machines
    return Shard(task * ranks + number("RANK", 0), number("SLURM_ARRAY_TASK_COUNT", 1) * ranks)


def shared_run_id() -> str | None:
    """Name of a run that all tasks of a Slurm array know; None outside an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"slurm_{array}" if array else None
