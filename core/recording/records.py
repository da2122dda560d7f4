"""Records: JSON files that programs write for themselves, and the record of a run.

A record is a class of fields with types. It is checked where it is read, because people edit these
files, copy them from other runs and fill disks while they are written:

    class Position(Record):
        step: pydantic.NonNegativeInt
        state: Literal["running", "done"]

    position = read_checked(folder / "position.json", Position)
"""

import codecs
import importlib.metadata
import json
import os
import platform
import secrets
import shlex
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from core.files import require_file, write_json

RECORD = "args.json"  # name of the record in the folder of a run
DATA = "data.json"  # record of the data of a training
STATE = "generate_state.json"  # of a generation: the files and texts that its options meant
# Packages whose versions are noted: those that numbers can depend on.
PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "numpy",
    "pillow",
    "safetensors",
    "open_clip_torch",
)


MAX_BYTES = 2**30  # of a record; that of a run with 100,000 conditions has 50 MB


class Record(pydantic.BaseModel):
    """Fields of a record. Further ones are allowed, as later versions may add some.

    Numbers are finite, and nothing is converted: a step of "3" is wrong.
    """

    model_config = pydantic.ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class DamagedRecord(ValueError):
    """A record that breaks off, or whose fields are missing or wrong."""


Checked = TypeVar("Checked", bound=Record)


def read_checked(path: Path, kind: type[Checked]) -> Checked:
    """A record from its JSON file, with or without the mark that editors of Windows begin it with.

    Raises:
        FileNotFoundError: no such file.
        DamagedRecord: no JSON, or a field is missing, wrong or there twice. The message names file
            and field.
        ValueError: no regular file, or far too large.
    """
    require_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so it is no record")
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    checked = parse_checked(content, kind, path)
    json.loads(content, object_pairs_hook=partial(_refuse_repeated, path))
    return checked


def _refuse_repeated(path: Path, fields: Sequence[tuple[str, Any]]) -> None:
    """Raise DamagedRecord where a name stands twice, of which readers take the last."""
    names = set()
    for name, _ in fields:
        if name in names:
            raise DamagedRecord(f"{path}: damaged or edited ({name} stands there twice)")
        names.add(name)


def parse_checked(text: bytes | str, kind: type[Checked], source: Path | str) -> Checked:
    """A record from its JSON; raises like `read_checked`, with `source` for the file."""
    try:
        return kind.model_validate_json(text)
    except pydantic.ValidationError as error:
        raise DamagedRecord(f"{source}: damaged or edited ({first_problem(error)})") from error


def first_problem(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong with a content, behind its place."""
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return ": ".join([*filter(None, [".".join(map(str, first["loc"]))]), message])


class RunRecord(Record):
    """Content of the file of `write_run_record`; records of older versions have no kind."""

    kind: str | None = None
    args: dict[str, Any]
    command: str = ""
    started: str = ""
    python: str = ""
    versions: dict[str, str] = {}
    git_revision: str | None = None


def new_run_id() -> str:
    """A name for a run folder, `<YYYYmmdd_HHMMSS_micro>_p<pid>_<8 hex>`.

    It sorts by time. The last part keeps runs apart that start at once on several machines.
    """
    return f"{datetime.now():%Y%m%d_%H%M%S_%f}_p{os.getpid()}_{secrets.token_hex(4)}"


def without_secrets(command: list[str], names: Collection[str]) -> list[str]:
    """A command line with `***` in place of the values of the secret options `names`."""
    shown, hide_next = [], False
    for word in command:
        name, equals, _ = word.partition("=")
        # argparse also takes the beginning of an option's name.
        is_secret = any(len(name) > 4 and f"--{secret}".startswith(name) for secret in names)
        if hide_next:  # `--name VALUE` are two words
            shown.append("***")
        else:
            shown.append(f"{name}=***" if is_secret and equals else word)
        hide_next = is_secret and not equals
    return shown


def write_run_record(
    path: Path, options: Mapping, kind: str, secret_names: Collection[str] = ()
) -> None:
    """Write kind, command, options, versions and git revision as JSON; secrets are left out.

    Args:
        options: values by name, without dashes.
        kind: of the run, for programs that find its folder.
        secret_names: of options that are left out; see `core.command_line.groups.secret_names`.
    """
    record = {
        "kind": kind,
        "command": shlex.join(without_secrets([sys.executable, *sys.argv], secret_names)),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "args": {name: value for name, value in options.items() if name not in secret_names},
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git_revision": git_revision(),
    }
    write_json(path, record)


def read_record(run_dir: Path) -> dict:
    """Options of the run in `run_dir`, by name.

    Raises:
        FileNotFoundError: the folder has no record.
        ValueError: as `read_checked`.
    """
    path = run_dir / RECORD
    if not path.exists():
        raise FileNotFoundError(f"{path}: not there, so {run_dir} is not the folder of a run")
    return read_checked(path, RunRecord).args


def git_revision() -> str | None:
    """Commit of the code, with `+changes` where files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None
    return commit + ("+changes" if changes else "")


def _git(folder: Path, *words: str) -> str:
    """Output of a git command, without the line's end."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
