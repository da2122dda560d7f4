"""The manifest of a run: for each image one line of JSON, which says how it was made."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from core.files import whole_file
from generation.run_folder import lock_manifest

MANIFEST = "manifest.jsonl"
# Keys of a line that are known only when the image is written; all others follow from the plan.
SHA256 = "sha256"  # of the image's file
WEIGHTS_CHANGED = "weights_changed"  # files of weights that changed while it was drawn
NOTED = (SHA256, WEIGHTS_CHANGED)


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


def read_recorded(run_dir: Path) -> dict[str, dict]:
    """What was noted of images when they were written, by the path of the image.

    Lines that cannot be read are left out: the plan and the images give the manifest again.
    """
    path, recorded = run_dir / MANIFEST, {}
    if not path.is_file():
        return {}
    for text in path.read_text(errors="replace").split("\n"):
        with suppress(ValueError, KeyError, TypeError):
            line = json.loads(text)
            # Of an image that was made again, the last line holds.
            recorded[line["image"]] = {key: line[key] for key in NOTED if key in line}
    return recorded


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
