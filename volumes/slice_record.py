"""The record of a folder of slices: with it a later call goes on, or is refused."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.checks import bar_for_many
from core.command_line.option_sources import changed_options, plain
from core.command_line.options import OptionError
from core.files import check_new_folder, state_of, write_json
from core.imaging.images import SERVICE_FOLDERS, list_images
from core.recording.records import Record, read_checked
from volumes.base import Volume
from volumes.folder import FolderVolume
from volumes.grey import Window, bits_of

SLICES = "slices.json"
HIDDEN_METADATA = {".zarray", ".zgroup", ".zattrs", ".zmetadata"}  # of Zarr 2
SERVICE_FILES = {"thumbs.db", "desktop.ini"}  # that file managers add, in lower case


class SlicesRecord(Record):
    """Content of `SLICES`.

    Attributes:
        options: that decide the files, by name.
        volumes: facts of the image volume and of the labels; see `describe_volume`.
        grey_window: grey levels of black and white; None where they are kept.
    """

    options: dict[str, Any]
    volumes: list[dict[str, Any]]
    grey_window: Annotated[list[float], Field(min_length=2, max_length=2)] | None

    @property
    def window(self) -> Window | None:
        """The grey levels that become black and white."""
        return Window(*self.grey_window) if self.grey_window else None


def describe_volume(path: Path, volume: Volume) -> dict[str, Any]:
    """Facts that tell that a volume has changed, and what people want to know of it."""
    state = state_of(path) if path.is_file() else None
    facts = plain(
        {
            "name": path.resolve().name,
            "format": volume.format,
            "shape": volume.shape,
            "dtype": str(volume.dtype),
            "voxel_nm": volume.voxel,
            "bytes": state and state.size,
            "mtime_ns": state and state.mtime_ns,
        }
    )
    bits = bits_of(volume)
    if bits and bits >= 8:  # older versions did not stretch these, and noted none
        facts["bits"] = bits
    if state:
        return facts
    of_slices = isinstance(volume, FolderVolume)
    files = list_images(path) if of_slices else _files_of_container(path)
    return facts | {"files": _state_of_files(path, files)}


def _files_of_container(folder: Path) -> Iterator[Path]:
    """Chunks and metadata of a Zarr or N5, without what file managers and systems add."""
    for place, folders, names in os.walk(folder):
        # In place: `os.walk` goes into what stays in the list.
        folders[:] = [name for name in folders if name not in SERVICE_FOLDERS and name[0] != "."]
        for name in names:
            hidden = name[0] == "." and name not in HIDDEN_METADATA
            if not hidden and name.lower() not in SERVICE_FILES:
                yield Path(place, name)


def _state_of_files(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 of the names, sizes and times of files below a folder, behind a progress bar."""
    digest = hashlib.sha256()
    for path in bar_for_many(sorted(paths), desc=f"checking {folder.name}"):
        if (state := state_of(path)) is None:  # a link to nothing: no chunk is there
            continue
        digest.update(os.fsencode(path.relative_to(folder)))
        digest.update(f"\0{state.size} {state.mtime_ns}\0".encode())
    return digest.hexdigest()


def read_slices_record(
    output: Path, options: Mapping[str, Any], volumes: list[dict]
) -> SlicesRecord | None:
    """The record of an earlier call into the same folder; None for a new or empty folder.

    Args:
        options, volumes: of this call.
    Raises:
        ValueError: the folder holds something else, or slices of other options or volumes.
        OSError: it cannot be made.
    """
    path = output / SLICES
    if not path.exists():
        check_new_folder(output)
        return None
    saved = read_checked(path, SlicesRecord)
    if changed := changed_options(options, saved.options, set()):
        name = changed[0].lstrip("-")
        raise OptionError(
            name,
            f"{path}: was made with {saved.options[name]}. Name another folder, or use that value",
        )
    for i, (before, now) in enumerate(zip_longest(saved.volumes, volumes, fillvalue={})):
        # Older versions noted nothing of the files in a folder, nor bits, which change neither
        # labels nor images with a window.
        as_stored = i == 0 and saved.grey_window is None
        free = {"files"} if as_stored else {"files", "bits"}
        unknown = {name: now[name] for name in free & (now.keys() - before.keys())}
        if before | unknown != now:
            name = now.get("name", before.get("name"))
            raise ValueError(f"{path}: {name} has changed since. Name another folder.")
    return saved


def write_slices_record(output: Path, record: SlicesRecord) -> None:
    """Store what makes the slices, before the first of them; an earlier record stays."""
    if not (output / SLICES).exists():
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / SLICES, record.model_dump())
