"""Start-up that every script shares: one clear line for bad input, a record of each run, a clean end on Ctrl-C."""

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import secrets
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ldm.data.files import whole_file

SECRET_OPTIONS = ("--wandb_api_key",)
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "pillow", "safetensors", "open_clip_torch")
QUIET = (  # advice of libraries that does not apply to the users of these scripts
    ".*does not have many workers.*",
    ".*GPU available but not used.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*your dataloader is not resumable.*",  # it is: see ldm.data.batches
    ".*exists and is not empty.*",  # a resumed run goes on in its folder
    ".*have no `val_dataloader`.*",  # a validation split is optional
    ".*`srun` command is available.*",  # a machine with Slurm also runs things by hand
    ".*sync_dist=True.*",  # what is logged without it is the same in all processes
    ".*LeafSpec.*",  # between Lightning and torch
    ".*The number of training batches.*smaller than the logging interval.*",
)


REQUEUE = 75  # exit code (EX_TEMPFAIL of sysexits.h): asked to stop by SIGUSR1, all saved; scripts/job.sh puts the job back into the queue


class StoppedForRequeue(KeyboardInterrupt):
    """SIGUSR1, by which Slurm announces the end of a job's time, has stopped the work; the same command goes on with it."""


def run_script(main: Callable[[], None]) -> None:
    """Call `main` and end the process: exit code 0, 1 after a one-line error, 130 after Ctrl-C, `REQUEUE` after SIGUSR1.

    The environment variable DEBUG=1 shows the whole traceback instead of the line.
    """
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed", "tifffile"):
        logging.getLogger(name).setLevel(logging.CRITICAL if name == "tifffile" else logging.WARNING)
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


class StopRequest:
    """Whether a scheduler has asked the process to end soon, by SIGTERM or SIGUSR1; truth value of a context manager.

    Attributes:
        received: number of the signal, 0 for none.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

    def __enter__(self):
        self.received = 0
        self.before = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def _receive(self, number, frame):
        self.received = number

    def __bool__(self):
        return self.received != 0

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def new_run_id() -> str:
    """`<YYYYmmdd_HHMMSS_micro>_p<pid>_<8 hex>`."""
    return f"{datetime.now():%Y%m%d_%H%M%S_%f}_p{os.getpid()}_{secrets.token_hex(4)}"


def without_secrets(command: list[str]) -> list[str]:
    """A command line with the values of `SECRET_OPTIONS` struck out."""
    shown, hide = [], False
    for word in command:
        name, equals, _ = word.partition("=")
        is_secret = any(len(name) > 4 and option.startswith(name) for option in SECRET_OPTIONS)  # argparse takes beginnings
        shown.append("***" if hide else f"{name}=***" if is_secret and equals else word)
        hide = is_secret and not equals
    return shown


def write_run_record(path: Path, args: argparse.Namespace) -> None:
    """Write command, options, versions and git revision as JSON; secrets are left out."""
    secret = {option.lstrip("-") for option in SECRET_OPTIONS}
    options = {key: value for key, value in vars(args).items() if key not in secret}
    record = {
        "command": shlex.join(without_secrets([sys.executable, *sys.argv])),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "args": options,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": git_revision(),
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2, default=str) + "\n")


def git_revision() -> str | None:
    """Commit of the code, with `+changes` where files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
