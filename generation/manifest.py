"""The manifest of a run: for each image one line of JSON, which says how it was made."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.files import whole_file
from generation.run_folder import lock_manifest

MANIFEST = "manifest.jsonl"


def read_manifest(run_dir: Path) -> list[dict]:
    """The lines of the manifest.

    Raises:
        FileNotFoundError: there is none.
    """
    path = run_dir / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so {run_dir} is no folder of generate.py, or holds no image yet"
        )
    return [json.loads(line) for line in path.read_text().splitlines()]


def append_to_manifest(run_dir: Path, line: Mapping) -> None:
    """Add a line at the end, whatever other processes do."""
    # Appending is atomic on local disks only, and shards run on several machines.
    with lock_manifest(run_dir), open(run_dir / MANIFEST, "a") as file:
        file.write(json.dumps(line) + "\n")


def write_manifest(run_dir: Path, lines: Iterable[Mapping]) -> None:
    """Write the manifest whole; the caller holds `lock_manifest`, so no line is added meanwhile."""
    with whole_file(run_dir / MANIFEST) as temporary, open(temporary, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def leading_file(line: Mapping) -> Path:
    """The condition file that names an image's conditions: that of the first branch."""
    # JSON keeps the order of keys, and `sources` has the branches in theirs.
    return Path(next(iter(line["sources"].values())))
