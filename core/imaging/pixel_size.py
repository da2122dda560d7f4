"""Pixel sizes: what files say of them, and the one place that knows those of folders and weights.

A folder of slices may hold `volume.json`, which states the size. Else the pictures are asked: TIFF
files (OME, ImageJ and plain tags) and PNG files (pHYs).
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import tifffile
from PIL.PngImagePlugin import PngImageFile
from pydantic import Field

from core.imaging.image_files import format_of
from core.imaging.image_header import naming
from core.imaging.images import IMAGE_SUFFIXES
from core.imaging.pairing import natural_order
from core.notices import notify
from core.recording.records import DATA, Record, read_checked
from core.weights.notes import read_notes

VOLUME = "volume.json"  # file beside the slices of a volume
NANOMETRES = {  # of a unit, by its spellings in lower case
    **dict.fromkeys(("nm", "nanometer", "nanometre", "nanometers", "nanometres"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "\\u00b5m", "micron", "microns"), 1e3),
    **dict.fromkeys(("micrometer", "micrometre", "micrometers", "micrometres"), 1e3),
    **dict.fromkeys(("a", "å", "angstrom", "angstroms", "ångström"), 0.1),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e6),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("m", "meter", "metre"), 1e9),
    **dict.fromkeys(("in", "inch", "inches"), 2.54e7),
}
# A larger pixel is a printer's or a screen's resolution, such as 72 dpi, and no electron microscope
LARGEST = 1e4  # nm
ALIKE = 0.1  # relative difference up to which pixel sizes count as one
SIZE_NOTE = "pixel_size_nm"  # name of the note in safetensors files
NOTED_SIZE = re.compile(r"\d+(\.\d+)? \d+(\.\d+)?")
ASKED_FILES = 8  # of a folder without `VOLUME`, evenly spread
RESOLUTION_UNITS = {2: "inch", 3: "cm"}  # of TIFF

Voxel = tuple[float | None, float | None, float | None]  # (z, y, x) in nm, None where unknown
UNKNOWN: Voxel = (None, None, None)


class PixelSize(NamedTuple):
    """Height and width of a pixel in nm."""

    y: float
    x: float

    def __str__(self) -> str:
        if self.is_square():
            return f"{self.x:.4g} nm"
        return f"{self.y:.4g} x {self.x:.4g} nm (height x width)"

    def is_square(self) -> bool:
        """Tell whether both sides are equal within a hundredth."""
        return math.isclose(self.y, self.x, rel_tol=0.01)

    def is_like(self, other: "PixelSize") -> bool:
        """Tell whether two sizes differ by a tenth at most."""
        limit = math.log(1 + ALIKE) * (1 + 1e-9)
        return all(abs(math.log(a / b)) <= limit for a, b in zip(self, other, strict=True))


Positive = Annotated[float, Field(gt=0)]


class PixelSizeRecord(Record):
    """Sizes in `VOLUME` and in the record of a training's data, which hold more."""

    pixel_size_nm: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None
    slice_distance_nm: Positive | None = None


def as_pixel_size(sides: object) -> PixelSize | None:
    """Two numbers above 0 as a pixel size; None for anything else."""
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        return None
    fine = all(isinstance(side, (int, float)) and 0 < side < math.inf for side in sides)
    return PixelSize(*map(float, sides)) if fine else None


def in_nm(value: object, unit: object) -> float | None:
    """A length in nm; None for an unknown unit, a pixel size that is no length, or none at all."""
    factor = NANOMETRES.get(str(unit).strip().lower())
    if factor is None or not isinstance(value, (int, float)):
        return None
    length = value * factor
    return length if 0 < length < LARGEST else None


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
        if old is not None and old != new  # one that was unknown may be stated later
    ]


def pixel_size_of_file(path: Path) -> PixelSize | None:
    """The pixel size that a picture file states; None where it states none.

    Raises:
        FileNotFoundError, ValueError: no such file, or a damaged one.
    """
    with naming(path):
        name = format_of(path)
        if name == "TIFF":
            with tifffile.TiffFile(path) as tiff:
                _, y, x = tiff_voxel(tiff)
            return PixelSize(y, x) if y and x else None
        if name == "PNG":
            with PngImageFile(path) as image:
                return _png_size(image.info.get("dpi"))
    return None


def _png_size(dpi: Sequence[float] | None) -> PixelSize | None:
    """The size of the pHYs chunk, which Pillow gives in dots per inch, x first."""
    if not dpi or not all(dpi):
        return None
    x, y = (in_nm(1 / number, "inch") for number in dpi)
    return PixelSize(y, x) if x and y else None


def tiff_voxel(tiff: tifffile.TiffFile, series: int = 0) -> Voxel:
    """Voxel size of an open TIFF: that of OME or of ImageJ, else the tags' resolution.

    Args:
        series: number of the series of pages; OME describes each.
    """
    if tiff.is_ome and (voxel := _ome_voxel(tiff.ome_metadata, series)) != UNKNOWN:
        return voxel
    page, imagej = tiff.pages.first, tiff.imagej_metadata or {}
    unit = imagej.get("unit") or RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    x = _pixel_of_tag(page.tags.valueof("XResolution"), unit)
    y = _pixel_of_tag(page.tags.valueof("YResolution"), imagej.get("yunit", unit))
    return in_nm(imagej.get("spacing"), imagej.get("zunit", unit)), y, x


def _pixel_of_tag(resolution: object, unit: str | None) -> float | None:
    """Side of a pixel in nm, from a resolution tag: pixels per unit, as a fraction."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or not all(resolution):
        return None
    return in_nm(resolution[1] / resolution[0], unit)


def _ome_voxel(xml: str, number: int) -> Voxel:
    """Voxel size of an image of OME-XML; the unit that it leaves out is the micrometre."""
    try:
        images = tifffile.xml2dict(xml)["OME"]["Image"]
        pixels = (images if isinstance(images, list) else [images])[number]["Pixels"]
    except (LookupError, TypeError, SyntaxError):  # what other programs left of it
        return UNKNOWN
    z, y, x = (
        in_nm(pixels.get(f"PhysicalSize{a}"), pixels.get(f"PhysicalSize{a}Unit", "µm"))
        for a in "ZYX"
    )
    return z, y, x
