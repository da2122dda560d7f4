"""Print a table of trainings, pre-trainings and generations: how far they are, how long they take.

    python utils/run_status.py models my_synth_data

Exit code: 0 when everything is done; 3 when nothing is wrong but work is left (running, waiting);
1 when a run is stopped, stalled, failed or damaged.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import (
    add_options,
    new_parser,
    option,
    positive_float,
    positive_int,
    read_options,
)
from runs.status import PATIENCE, find_runs, run_statuses, status_table
from share import run_script

WORK_LEFT = 3  # exit code


@dataclass(frozen=True)
class StatusOptions:
    """Shards of a finished run, and silence of a stalled one."""

    num_shards: int | None = option(
        None,
        positive_int,
        "INT",
        "shards of generations; as many as a run was started with when not given",
    )
    stalled_after: float = option(
        30.0,
        positive_float,
        "MINUTES",
        "silence after which a run counts as stalled; a slow run gets the time of "
        f"{PATIENCE} of its own steps or images",
    )


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__, epilog=__doc__.split("\n\n")[-1])  # the exit codes
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN_OR_FOLDER", help="runs, or folders with runs"
    )
    add_options(parser, StatusOptions, "states")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    options = read_options(StatusOptions, args)
    statuses, now = [], time.time()  # one time for all rows
    for path in args.runs:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder")
        runs = list(find_runs(path))
        if not runs:
            raise FileNotFoundError(
                f"{path}: holds no run of train.py, generate.py or fid/pretraining"
            )
        for run in runs:
            statuses += run_statuses(run, now, 60 * options.stalled_after, options.num_shards)
    print(status_table(statuses, now))
    # A job script can tell work that goes on from work that needs someone.
    left = {status.state for status in statuses} - {"done"}
    if left:
        sys.exit(WORK_LEFT if left <= {"running", "waiting"} else 1)


if __name__ == "__main__":
    run_script(main)
