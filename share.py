"""Start and end of every script: one clear line for bad input, a clean end on Ctrl-C."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core.command_line.options import option_names
from core.notices import REPORTS, Notice, notify
from core.refusals import is_refusal
from core.signals import StoppedForRequeue
from core.weights.weights_in_use import forget_weights, overwritten_weights

# Warnings of libraries that do not apply to the users of these scripts.
QUIET_WARNINGS = (
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*your dataloader is not resumable.*",  # it is: see `training.data.batches`, `core.draws`
    ".*exists and is not empty.*",  # a resumed run goes on in its folder
    ".*have no `val_dataloader`.*",  # a validation split is optional
    ".*`srun` command is available.*",  # a machine with Slurm also runs things by hand
    ".*sync_dist=True.*",  # what is logged without it is the same in all processes
    ".*LeafSpec.*",  # between Lightning and torch
    ".*The number of training batches.*smaller than the logging interval.*",
)
QUIET_LOGGERS = {
    "pytorch_lightning.utilities.rank_zero": logging.WARNING,
    "lightning_fabric.utilities.seed": logging.WARNING,
    "tifffile": logging.CRITICAL,  # it logs errors before it raises them
}


class Printer(logging.Handler):
    """Print reports on standard output at once, even where that is a file."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the report alone, without time and level."""
        print(record.getMessage(), flush=True)


RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # number of a process among several, 0 for the first
python_format = warnings.formatwarning

# Exit code after SIGUSR1, EX_TEMPFAIL of sysexits.h: everything is saved, and scripts/job.sh puts
# the job back into the queue.
REQUEUE = 75


def format_warning(message, category, *place) -> str:
    """A warning as it is printed: notices in one line, without the place in the code."""
    if issubclass(category, Notice):
        return f"warning: {' '.join(str(message).split())}\n"
    return python_format(message, category, *place)


def show_reports() -> None:
    """Print what packages report; they are silent otherwise."""
    REPORTS.setLevel(logging.INFO)
    REPORTS.handlers = [Printer()]
    REPORTS.propagate = False  # to handlers of libraries, which would print it again


def run_script(main: Callable[[], None]) -> None:
    """Call `main`, and turn errors into one line.

    At the end it warns of weights files that were overwritten while the program used them.

    Exit codes: 0; 2 after bad input, as argparse has it (see `is_refusal`); 130 after Ctrl-C;
    `REQUEUE` after SIGUSR1; 1 after any other error, which is a fault of the code or of the
    machine. With the environment variable DEBUG=1, errors show their traceback.
    """
    # Here and not on import: importing a module changes nothing for others.
    # Threads of torch that wait for each other sleep, unless the user wants otherwise. Else they
    # spin, on cores that another program may need. torch is loaded in `main` and reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for message in QUIET_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    warnings.formatwarning = format_warning
    # All processes of a training read the same files; the first one speaks for them.
    if any(os.environ.get(name, "0") != "0" for name in RANKS):
        warnings.simplefilter("ignore", Notice)
    else:
        show_reports()
    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    forget_weights()
    try:
        with option_names():  # of messages that no part of `main` has put in its own terms
            main()
        _warn_of_overwritten_weights()
    except KeyboardInterrupt as stop:
        _warn_of_overwritten_weights()
        print("\nstopped", file=sys.stderr)
        sys.exit(REQUEUE if isinstance(stop, StoppedForRequeue) else 130)
    except Exception as error:
        # torch has a RuntimeError of this name for memory of a GPU; it is not imported for that.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            _end_with_line(error, "not enough memory. Use smaller batches or images.", 1)
        if is_refusal(error):
            _end_with_line(error, str(error), 2)
        message = f"unexpected {type(error).__name__}: {error}"
        _end_with_line(error, f"{message} (run again with DEBUG=1 for the traceback)", 1)


def _warn_of_overwritten_weights() -> None:
    for path in overwritten_weights():
        notify(
            f"{path} was overwritten while this program used it. Unless its content stayed the "
            "same, run the program again."
        )


def _end_with_line(error: Exception, message: str, code: int) -> NoReturn:
    """Print an error in one line and end the process; with DEBUG=1, raise it again."""
    if os.environ.get("DEBUG") == "1":
        raise error
    from tqdm import tqdm  # here: most ends need no bar

    with tqdm.external_write_mode(file=sys.stderr):  # a line of its own, whatever bar is open
        print(f"{Path(sys.argv[0]).name}: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
