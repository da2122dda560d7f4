"""The pixel sizes of folders, trainings and weights, and notices where they differ.

A folder of slices may hold `volume.json`, which states the size. Else the pictures are asked.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.imaging.images import IMAGE_SUFFIXES
from core.imaging.pairing import natural_order
from core.imaging.pixel_size import PixelSize, as_pixel_size, pixel_size_of_file
from core.notices import notify
from core.recording.records import DATA, Record, read_checked
from core.weights.notes import read_notes

VOLUME = "volume.json"  # file beside the slices of a volume
SIZE_NOTE = "pixel_size_nm"  # name of the note in safetensors files
NOTED_SIZE = re.compile(r"\d+(\.\d+)? \d+(\.\d+)?")
ASKED_FILES = 8  # of a folder without `VOLUME`, evenly spread

Positive = Annotated[float, Field(gt=0)]


class PixelSizeRecord(Record):
    """Sizes in `VOLUME` and in the record of a training's data, which hold more."""

    pixel_size_nm: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    slice_distance_nm: Positive | None = None


def _recorded(path: Path) -> PixelSize | None:
    """The pixel size of a record; raises as `read_checked`."""
    return as_pixel_size(read_checked(path, PixelSizeRecord).pixel_size_nm)


def pixel_size_of_folder(folder: Path) -> PixelSize | None:
    """The pixel size of the pictures in a folder; None where it is unknown.

    Pictures that contradict each other have no pixel size, and a warning says so.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a damaged file.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if (folder / VOLUME).exists():
        return _recorded(folder / VOLUME)
    # Not `list_images`: a folder of arrays holds no picture. Pipes and devices are none either.
    files = (path for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    paths = sorted((p for p in files if p.suffix.lower() in IMAGE_SUFFIXES), key=natural_order)
    asked = paths[:: max(1, len(paths) // ASKED_FILES)]
    return _common_size({p.name: pixel_size_of_file(p) for p in asked}, f"{folder}: ")


def common_pixel_size(folders: Iterable[Path]) -> PixelSize | None:
    """The pixel size that the pictures of several folders have in common; None where it is unknown.

    Folders that contradict each other have none, and a warning says so.

    Raises:
        FileNotFoundError, ValueError: as `pixel_size_of_folder`.
    """
    return _common_size({folder: pixel_size_of_folder(folder) for folder in folders})


def _common_size(sizes: Mapping[object, PixelSize | None], where: str = "") -> PixelSize | None:
    """The first size, where all others are like it; else None, and a warning.

    Args:
        sizes: by what has them.
        where: that is, for the message.
    """
    first = next(iter(sizes.values()), None)
    for what, size in sizes.items():
        if (first is None) != (size is None) or (first and not first.is_like(size)):
            notify(
                f"{where}the pixel size is {first or 'unknown'} in {next(iter(sizes))}, but "
                f"{size or 'unknown'} in {what}. It counts as unknown for all."
            )
            return None
    return first


def pixel_size_as_read(folder: Path, side: float | None) -> PixelSize | None:
    """Pixel size of a folder's pictures once they are read.

    Args:
        side: in nm, to which they are resampled; None keeps them.
    Raises:
        ValueError: as `pixel_size_of_folder`.
    """
    return PixelSize(side, side) if side else pixel_size_of_folder(folder)


def slice_distance_of_folder(folder: Path) -> float | None:
    """Nanometres from slice to slice in a folder; None where `VOLUME` does not say it.

    Raises:
        ValueError: a damaged record.
    """
    path = folder / VOLUME
    return read_checked(path, PixelSizeRecord).slice_distance_nm if path.exists() else None


def pixel_size_of_training(run_dir: Path) -> PixelSize | None:
    """The pixel size of the images of a training; None where its folder does not say.

    Raises:
        ValueError: a damaged record.
    """
    return _recorded(run_dir / DATA) if (run_dir / DATA).is_file() else None


def pixel_size_of_weights(path: Path) -> PixelSize | None:
    """The pixel size of the images that weights were trained on; None where it is unknown.

    The record of the training says so where it lies beside the weights. A safetensors file says so
    itself; see `size_note`.

    Raises:
        ValueError: a damaged record or file.
    """
    if size := pixel_size_of_training(path.parent):
        return size
    note = read_notes(path).get(SIZE_NOTE, "")
    return as_pixel_size([*map(float, note.split())]) if NOTED_SIZE.fullmatch(note) else None


def size_note(size: PixelSize | None) -> dict[str, str]:
    """The note of a pixel size in a safetensors file; none where it is unknown."""
    return {SIZE_NOTE: f"{size.y:.6f} {size.x:.6f}"} if size else {}


def notify_of_other_size(
    what: object, size: PixelSize | None, reference: object, expected: PixelSize | None
) -> None:
    """Warn where two pixel sizes are known and differ by more than a tenth.

    Args:
        what, reference: whose sizes they are, for the message.
    """
    if size and expected and not size.is_like(expected):
        notify(
            f"{what} has pixels of {size}, but {reference} has pixels of {expected}: the same "
            f"structure is {expected.x / size.x:.2g} times as many pixels wide"
        )


def notify_of_unlike_folders(folders: Iterable[Path]) -> PixelSize | None:
    """Warn of folders whose pixel size differs from that of the first one that has one.

    Returns:
        The pixel size of the first one.
    Raises:
        FileNotFoundError, ValueError: as `pixel_size_of_folder`.
    """
    sizes = {folder: pixel_size_of_folder(folder) for folder in folders}
    known = {folder: size for folder, size in sizes.items() if size}
    for folder, size in known.items():
        first = next(iter(known))
        notify_of_other_size(folder, size, first, known[first])
    return next(iter(known.values()), None)


def changed_sizes(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Differences between the pixel sizes of a record and those of now, a phrase each.

    Args:
        before, now: sizes by what has them; None where they are unknown. What `before` lacks, as in
            records of older versions, is not compared.
    """
    sizes = [
        (name, as_pixel_size(old), as_pixel_size(now.get(name))) for name, old in before.items()
    ]
    return [
        f"the pixel size of {name} was changed from {old or 'unknown'} to {new or 'unknown'}"
        for name, old, new in sizes
        if old is not None and not old.is_same(new)  # one that was unknown may be stated later
    ]
