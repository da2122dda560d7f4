"""Start-up that every script shares: one clear line for bad input, a record of each run, a clean end on Ctrl-C."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from core.signals import StoppedForRequeue

QUIET = (  # advice of libraries that does not apply to the users of these scripts
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*your dataloader is not resumable.*",  # it is: see training.batches
    ".*exists and is not empty.*",  # a resumed run goes on in its folder
    ".*have no `val_dataloader`.*",  # a validation split is optional
    ".*`srun` command is available.*",  # a machine with Slurm also runs things by hand
    ".*sync_dist=True.*",  # what is logged without it is the same in all processes
    ".*LeafSpec.*",  # between Lightning and torch
    ".*The number of training batches.*smaller than the logging interval.*",
)


REQUEUE = 75  # exit code (EX_TEMPFAIL of sysexits.h): asked to stop by SIGUSR1, all saved; scripts/job.sh puts the job back into the queue


def run_script(main: Callable[[], None]) -> None:
    """Call `main` and end the process: exit code 0, 1 after a one-line error, 130 after Ctrl-C, `REQUEUE` after SIGUSR1.

    The environment variable DEBUG=1 shows the whole traceback instead of the line.
    """
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    for name in (
        "pytorch_lightning.utilities.rank_zero",
        "lightning_fabric.utilities.seed",
        "tifffile",
    ):
        logging.getLogger(name).setLevel(
            logging.CRITICAL if name == "tifffile" else logging.WARNING
        )
    try:
        main()
    except KeyboardInterrupt as stop:
        print("\nstopped", file=sys.stderr)
        sys.exit(REQUEUE if isinstance(stop, StoppedForRequeue) else 130)
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("DEBUG") == "1":
            raise
        print(f"{Path(sys.argv[0]).name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
