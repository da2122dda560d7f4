"""The record of a folder of slices: with it a later call goes on, or is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.command_line.option_sources import changed_options, plain
from core.command_line.options import OptionError
from core.files import check_new_folder, state_of, write_json
from core.recording.records import Record, read_checked
from volumes.base import Volume
from volumes.grey import Window

SLICES = "slices.json"


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
    return plain(
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
    if saved.volumes != volumes:
        raise ValueError(f"{path}: the volume has changed since. Name another folder.")
    return saved


def write_slices_record(output: Path, record: SlicesRecord) -> None:
    """Store what makes the slices, before the first of them; an earlier record stays."""
    if not (output / SLICES).exists():
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / SLICES, record.model_dump())
