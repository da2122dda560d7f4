"""The record of a run: command, options, versions and git revision."""

import importlib.metadata
import os
import platform
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from core.files import write_json

SECRET_OPTIONS = ("--wandb_api_key",)


PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "numpy",
    "pillow",
    "safetensors",
    "open_clip_torch",
)


def new_run_id() -> str:
    """`<YYYYmmdd_HHMMSS_micro>_p<pid>_<8 hex>`."""
    return f"{datetime.now():%Y%m%d_%H%M%S_%f}_p{os.getpid()}_{secrets.token_hex(4)}"


def without_secrets(command: list[str]) -> list[str]:
    """A command line with the values of `SECRET_OPTIONS` struck out."""
    shown, hide = [], False
    for word in command:
        name, equals, _ = word.partition("=")
        is_secret = any(
            len(name) > 4 and option.startswith(name) for option in SECRET_OPTIONS
        )  # argparse takes beginnings
        shown.append("***" if hide else f"{name}=***" if is_secret and equals else word)
        hide = is_secret and not equals
    return shown


def write_run_record(path: Path, options: Mapping) -> None:
    """Write command, options, versions and git revision as JSON; secrets are left out.

    Args:
        options: values by name, without dashes.
    """
    secret = {option.lstrip("-") for option in SECRET_OPTIONS}
    record = {
        "command": shlex.join(without_secrets([sys.executable, *sys.argv])),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "args": {name: value for name, value in options.items() if name not in secret},
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": git_revision(),
    }
    write_json(path, record)


def git_revision() -> str | None:
    """Commit of the code, with `+changes` where files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "-uno"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
