"""Pixel sizes, and what a picture file states: notes and plain tags of TIFF, pHYs of PNG."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tifffile
from PIL.PngImagePlugin import PngImageFile

from core.imaging.image_files import format_of
from core.imaging.image_header import naming

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

    def is_same(self, other: "PixelSize | None") -> bool:
        """Tell whether two sizes differ by a hundredth at most, as two notes of one file may."""
        if other is None:
            return False
        return all(math.isclose(*sides, rel_tol=0.01) for sides in zip(self, other, strict=True))

    def is_like(self, other: "PixelSize") -> bool:
        """Tell whether two sizes differ by a tenth at most."""
        limit = math.log(1 + ALIKE) * (1 + 1e-9)
        return all(abs(math.log(a / b)) <= limit for a, b in zip(self, other, strict=True))


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
    """Voxel size of an open TIFF: that of OME, a microscope or ImageJ, else the tags' resolution.

    Args:
        series: number of the series of pages; OME describes each.
    """
    if tiff.is_ome and (voxel := _ome_voxel(tiff.ome_metadata, series)) != UNKNOWN:
        return voxel
    y, x = _microscope_size(tiff)
    if y and x:
        return None, y, x
    page, imagej = tiff.pages.first, tiff.imagej_metadata or {}
    unit = imagej.get("unit") or RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 2))
    x = _pixel_of_tag(page.tags.valueof("XResolution"), unit)
    y = _pixel_of_tag(page.tags.valueof("YResolution"), imagej.get("yunit", unit))
    return in_nm(imagej.get("spacing"), imagej.get("zunit", unit)), y, x


def _microscope_size(tiff: tifffile.TiffFile) -> tuple[float | None, float | None]:
    """Height and width of a pixel that microscopes of FEI (Thermo Fisher) or Zeiss note."""
    scan = (tiff.fei_metadata or {}).get("Scan", {})
    if "PixelWidth" in scan:
        return in_nm(scan.get("PixelHeight"), "m"), in_nm(scan["PixelWidth"], "m")
    _, *side = (tiff.sem_metadata or {}).get("ap_image_pixel_size", ("",))  # name, number, unit
    side = in_nm(*side) if len(side) == 2 else None
    return side, side


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
