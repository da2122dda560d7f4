"""The manifest of a run: for each image one line of JSON, which says how it was made."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.files import require_file, sha256_of, whole_file
from core.imaging.pairing import IMAGES, MANIFEST, MASKS
from core.recording.records import Record, parse_checked
from generation.folder.run_folder import lock_manifest
from generation.names import CONDITIONS

# Keys of a line that are known only when the image is written; all others follow from the plan.
SHA256 = "sha256"  # of the image's file
OTHERS_SHA256 = "others_sha256"  # of the files of its mask and conditions, by their paths
WEIGHTS_CHANGED = "weights_changed"  # files of weights that changed while it was drawn
GATED = ("agreement", "redraw", "ignored_share")  # what the quality gate decided
NOTED = (SHA256, OTHERS_SHA256, WEIGHTS_CHANGED, "seed", *GATED)
LONGEST_LINE = 2**20  # bytes; a longer one is damaged, and read in parts
# A file name, so that no line leads out of the run's folder
NAME = r"[^/\x00]*[^/\x00.][^/\x00]*"


class ManifestLine(Record):
    """One line; paths are relative to the run's folder.

    Attributes:
        mask: None where no condition carries labels.
        conditions: pictures of the conditions by folder.
        sources: condition files by branch, the leading one first.
        pixel_size_nm: height and width of a pixel; None where it is unknown.
        sha256, others_sha256, weights_changed: see `NOTED`; None where nothing was noted, as in
            lines of older versions.
    """

    image: Annotated[str, Field(pattern=f"^{IMAGES}/{NAME}$")]
    mask: Annotated[str, Field(pattern=f"^{MASKS}/{NAME}$")] | None
    conditions: dict[str, Annotated[str, Field(pattern=f"^{CONDITIONS}/{NAME}/{NAME}$")]] = {}
    sources: Annotated[dict[str, str], Field(min_length=1)]
    prompt: str = ""
    seed: int | None = None
    weights: dict[str, str] = {}
    options: dict[str, Any] = {}
    pixel_size_nm: list[float] | None = None
    sha256: str | None = None
    others_sha256: dict[str, str] | None = None
    weights_changed: list[str] | None = None
    agreement: float | None = None
    redraw: int | None = None
    ignored_share: float | None = None


def read_manifest(run_dir: Path) -> list[dict]:
    """The lines of the manifest.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a line is damaged; the message has its number.
    """
    path = run_dir / MANIFEST
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: not there, so {run_dir} is no folder of generate.py, or holds no image yet"
        )
    require_file(path)
    lines = enumerate(_lines(path), 1)
    return [
        parse_checked(line, ManifestLine, f"{path}, line {i}").model_dump() for i, line in lines
    ]


def read_recorded(run_dir: Path) -> dict[str, dict]:
    """Notes that were made of images when they were written, by the path of the image.

    Lines that cannot be read are left out: the plan and the images give the manifest again.

    Raises:
        ValueError: the manifest is something else than a file.
    """
    path, recorded = run_dir / MANIFEST, {}
    if not path.exists():
        return {}
    require_file(path)
    for text in _lines(path):
        with suppress(ValueError):
            line = parse_checked(text, ManifestLine, path)
            # Of an image that was made again, the last line holds.
            noted = {key: getattr(line, key) for key in NOTED}
            recorded[line.image] = {key: x for key, x in noted.items() if x not in (None, [], {})}
    return recorded


def _lines(path: Path) -> Iterator[bytes]:
    # Bytes: other characters that end a line of text may stand in a prompt.
    with open(path, "rb") as file:
        while line := file.readline(LONGEST_LINE):
            yield line


def files_of(line: Mapping) -> list[str]:
    """Paths of the pictures that belong to an image: its mask and its conditions."""
    return [*filter(None, [line["mask"]]), *line["conditions"].values()]


def checksums_of(run_dir: Path, line: Mapping) -> dict:
    """Checksums of the pictures of a line that are there, by the keys that it notes them under."""
    there = [file for file in files_of(line) if (run_dir / file).is_file()]
    others = {file: sha256_of(run_dir / file) for file in there}
    return {SHA256: sha256_of(run_dir / line["image"]), OTHERS_SHA256: others}


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
