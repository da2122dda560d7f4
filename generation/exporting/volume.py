"""A finished stack as one volume: OME-Zarr with its masks as labels, or two TIFF files.

Axes are z, y and x, voxels 8-bit, sizes of voxels in nm. No volume is in memory as a whole.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from tqdm import tqdm

from core.command_line.options import OptionError, option, positive_float
from core.files import check_new_folder, check_writable, refuse_existing, whole_file, whole_folder
from core.imaging.images import read_grey, to_uint8
from core.imaging.known_sizes import slice_distance_of_folder
from core.imaging.labels import IGNORE, read_labels
from core.imaging.pixel_size import PixelSize, Voxel
from core.signals import StopRequest
from generation.exporting.ome_zarr import require_ome_zarr, write_ome_zarr
from generation.folder.manifest import read_manifest

ZARR, TIFF = (".zarr",), (".tif", ".tiff")
MASKS_TEXT = f"Class indices; {IGNORE} marks pixels to be ignored."


@dataclass(frozen=True)
class VolumeOptions:
    """Volume that a finished stack becomes."""

    export_volume: Path | None = option(
        None,
        Path,
        "FILE",
        "new volume of the finished stack: an OME-Zarr (.zarr) that holds the masks as labels, or "
        "a TIFF (.tif) beside one of the masks, which ends in _masks.tif",
    )
    slice_distance: float | None = option(
        None,
        positive_float,
        "NM",
        "from slice to slice in nm, for --export_volume; when not given, that of volume.json "
        "beside the conditions, else the size of a pixel",
    )

    def check(self):
        """Raise OptionError for an ending that stands for no format, or a missing package."""
        if self.slice_distance and not self.export_volume:
            raise OptionError("slice_distance", "needs --export_volume")
        if self.export_volume and self.export_volume.suffix not in ZARR + TIFF:
            raise OptionError(
                "export_volume", f"{self.export_volume}: expected a name that ends in .zarr or .tif"
            )

    def words(self) -> list:
        """The options as words of a command line."""
        words = ["--export_volume", self.export_volume] if self.export_volume else []
        return words + (["--slice_distance", self.slice_distance] if self.slice_distance else [])

    @property
    def masks(self) -> Path:
        """The TIFF file of the masks."""
        return self.export_volume.with_name(f"{self.export_volume.stem}_masks.tif")


def check_export_volume(options: VolumeOptions) -> None:
    """Find what would stop the export, before anything slow happens.

    Raises:
        FileExistsError, OSError: the volume is there already, or cannot be written.
        RuntimeError: a package is missing.
    """
    path = options.export_volume
    if path is None:
        return
    if path.suffix in ZARR:
        require_ome_zarr()
        check_new_folder(path)
        return
    for file in (path, options.masks):
        refuse_existing(file, overwrite=False)
        check_writable(file)


def voxel_of(options: VolumeOptions, folder: Path, size: PixelSize | None) -> Voxel | None:
    """Size of the volume's voxels in nm (z, y, x); None where it is unknown.

    Args:
        folder: of the conditions.
        size: of their pixels.
    Raises:
        OptionError: the distance of slices is given, but the size of pixels is unknown.
        ValueError: a damaged record in `folder`.
    """
    if size:
        return (options.slice_distance or slice_distance_of_folder(folder) or size.y, *size)
    if options.slice_distance:
        raise OptionError(
            "slice_distance", f"the pixel size of {folder} is unknown. Write it to volume.json."
        )
    return None


def export_volume(options: VolumeOptions, run_dir: Path, voxel: Voxel | None) -> int:
    """Write images and masks of a finished run as volumes; returns the number of slices.

    Args:
        voxel: see `voxel_of`.
    Raises:
        KeyboardInterrupt: the process was asked to end.
    """
    lines = read_manifest(run_dir)
    with StopRequest() as stop:  # the unfinished volume then vanishes
        paths = [run_dir / line["image"] for line in lines]
        images = Slices(paths, lambda path: to_uint8(read_grey(path)), stop)
        masks = None
        if lines[0]["mask"]:
            paths = [run_dir / line["mask"] for line in lines]
            masks = Slices(paths, lambda path: read_labels(path).astype(np.uint8), stop)
        if options.export_volume.suffix in ZARR:
            name = options.export_volume.name.split(".")[0]
            with whole_folder(options.export_volume) as temporary:
                write_ome_zarr(temporary, name, images, masks, voxel)
        else:
            with ExitStack() as files:  # both get their names at the end, or none does
                _write_tiff(files.enter_context(whole_file(options.export_volume)), images, voxel)
                if masks:
                    path = files.enter_context(whole_file(options.masks))
                    _write_tiff(path, masks, voxel, MASKS_TEXT)
    return len(lines)


@dataclass(frozen=True)
class Slices:
    """Pictures of equal size in order.

    Attributes:
        paths: of the files.
        read: function from a path to an array, uint8 (H, W).
        stop: asked before each slice is read; where it is true, KeyboardInterrupt is raised.
    """

    paths: Sequence[Path]
    read: Callable[[Path], np.ndarray]
    stop: StopRequest

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, height, width."""
        return (len(self.paths), *self.read(self.paths[0]).shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        bar = tqdm(self.paths, desc="export volume", unit="slice", leave=False)
        for path in bar:
            if self.stop:
                raise KeyboardInterrupt
            yield self.read(path)


def _write_tiff(path: Path, slices: Slices, voxel, description: str = "") -> None:
    """An OME-TIFF, compressed; a BigTIFF where it needs to be."""
    metadata = {"axes": "ZYX"} | ({"Description": description} if description else {})
    if voxel:
        for axis, side in zip("ZYX", voxel, strict=True):
            metadata |= {f"PhysicalSize{axis}": side, f"PhysicalSize{axis}Unit": "nm"}
    shape = slices.shape
    tifffile.imwrite(
        path,
        iter(slices),
        shape=shape,
        dtype=np.uint8,
        ome=True,
        bigtiff=np.prod(shape, dtype=np.int64) > 2**31,
        photometric="minisblack",
        compression="zlib",
        metadata=metadata,
    )
