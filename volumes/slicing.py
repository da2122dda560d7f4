"""Folders of slices out of volumes: what they will hold, what is missing, and the writing of it.

Every file is written whole, so a run that was stopped goes on behind the last file.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from core.checks import MAX_THREADS
from core.command_line.options import OptionError, option, positive_float, positive_int
from core.files import write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from core.imaging.labels import NO_JPEG
from core.imaging.pairing import IMAGES, MASKS
from core.imaging.pixel_size import PixelSize, Voxel
from core.notices import notify
from volumes.base import Volume
from volumes.cutting import CutOptions, SplitOptions, slabs, tiles_of
from volumes.grey import Window, bits_of, grey_picture, sampled_slices
from volumes.labels import LabelOptions
from volumes.mrc import MrcVolume

SIZE_TOLERANCE = 0.01  # of voxels of images and labels, which programs round


@dataclass(frozen=True)
class WriteOptions:
    """Names of the files, and the memory that reading may take."""

    name: str | None = option(
        None, None, "TEXT", "beginning of all file names; that of the volume when not given"
    )
    memory: int = option(
        512, positive_int, "MB", "slices that are read at once; more is faster for slices that lie "
        "across the chunks of a file"
    )  # fmt: skip

    def check(self):
        """Raise OptionError for a name that leads to another folder."""
        if self.name is not None and (self.name != Path(self.name).name or self.name[:1] in ".-"):
            raise OptionError("name", f"{self.name!r} is no beginning of a file name")


@dataclass(frozen=True)
class PairOptions:
    """Labels beside the image volume, and the size of the voxels."""

    labels: Path | None = option(None, Path, "VOLUME", "labels of the same shape")
    pixel_size: tuple[float, ...] | None = option(
        None,
        positive_float,
        "NM",
        "side of a voxel, or its sides along z, y and x; what the file states when not given",
        nargs="+",
    )

    def check(self):
        """Raise OptionError where the size is neither one number nor three."""
        if self.pixel_size and len(self.pixel_size) not in (1, 3):
            raise OptionError("pixel_size", "expected one number, or three: z y x")

    @property
    def voxel(self) -> Voxel | None:
        """The voxel size that is stated, None where none is."""
        return tuple(self.pixel_size) * (3 // len(self.pixel_size)) if self.pixel_size else None


class Source(NamedTuple):
    """A volume, and the function that turns a slice of it into the picture to write."""

    folder: str
    volume: Volume
    picture: Any  # (slice, its name) -> uint8 or uint16 (H, W)


def check_alike(image: Volume, labels: Volume, stated: Voxel | None) -> None:
    """Check that labels lie on the voxels of an image; warns where their rows may run oppositely.

    Args:
        stated: voxel size by the user, which then wins over both files.
    Raises:
        RuntimeError: their shapes differ, or their voxel sizes where both state one, or the numbers
            in the names of their slices.
    """
    _check_numbers(image, labels)
    if image.shape != labels.shape:
        raise RuntimeError(
            f"{labels.source} has the shape {labels.shape}, but {image.source} has {image.shape} "
            "(z, y, x). Choose levels or data sets of one size."
        )
    if (MrcVolume.format == image.format) != (MrcVolume.format == labels.format):
        notify(
            f"{labels.source} is {labels.format}, but {image.source} is {image.format}. Many "
            "programs count the rows of MRC from the bottom, and turn them round when they convert "
            "such a file. Where masks lie upside down on their images, give both in one format."
        )
    if stated:
        return
    for axis, ours, theirs in zip("zyx", image.voxel, labels.voxel, strict=True):
        if ours and theirs and abs(ours - theirs) > SIZE_TOLERANCE * ours:
            raise RuntimeError(
                f"{labels.source} states voxels of {theirs:g} nm along {axis}, but {image.source} "
                f"states {ours:g} nm. State the right pixel size."
            )


def _check_numbers(image: Volume, labels: Volume) -> None:
    """Refuse folders of slices that are numbered otherwise: a slice would get another's mask."""
    if image.numbers is None or labels.numbers is None:
        return
    if len(image.numbers[0]) != len(labels.numbers[0]):
        return  # one side's names state something else too, such as a time
    steps = {(a[0] - b[0], *a[1:]) for a, b in zip(image.numbers, labels.numbers, strict=False)}
    if len(image.numbers) == len(labels.numbers) and len(steps) == 1 and (0,) not in steps:
        notify(
            f"{labels.source}: its slices are numbered from {labels.numbers[0][0]} on, those of "
            f"{image.source} from {image.numbers[0][0]} on. They are paired in this order."
        )
        return
    for one, other in ((image, labels), (labels, image)):
        if lacking := sorted(set(one.numbers) - set(other.numbers)):
            number = "_".join(map(str, lacking[0]))
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            raise RuntimeError(
                f"{other.source}: no slice has the number {number}{more}, which {one.source} has. "
                "Give the slices of both folders equal numbers."
            )


def check_sampled_labels(volume: Volume, options: LabelOptions) -> None:
    """Check labels of slices that are spread over a volume; raises as `LabelOptions.classes`.

    Warns of labels that are compressed as JPEG.
    """
    if volume.lossy:
        notify(f"{volume.source}: the labels are compressed as JPEG. {NO_JPEG}")
    stored = " (compressed as JPEG, which changes labels)" if volume.lossy else ""
    for number, labels in sampled_slices(volume):
        options.classes(labels, f"{volume.source}, slice {number} across z{stored}")


class SliceSet:
    """The slices of an image volume, with those of its labels where there are any.

    Attributes:
        parts: numbers of slices by name of the part.
        tiles: of each slice.
        pixel_size: of the slices; None where it is unknown.
    """

    def __init__(
        self,
        image: Volume,
        labels: Volume | None,
        voxel: Voxel,
        cut: CutOptions,
        split: SplitOptions,
        name: str,
    ):
        """Plan the files; raises OptionError where the options do not fit the volume."""
        self.image, self.labels, self.voxel, self.cut, self.name = image, labels, voxel, cut, name
        length = image.shape[cut.number]
        self.digits = len(str(length - 1))
        self.parts = split.parts(cut.chosen(length), length)
        height, width = (image.shape["zyx".index(axis)] for axis in cut.sides)
        self.size = height, width
        self.tiles = tiles_of(height, width, cut)
        y, x = (voxel["zyx".index(axis)] for axis in cut.sides)
        self.pixel_size = PixelSize(y, x) if y and x else None

    @property
    def num_files(self) -> int:
        """Number of pictures of each kind."""
        return len(self.tiles) * sum(map(len, self.parts.values()))

    @cached_property
    def folders(self) -> list[str]:
        """Kinds of pictures."""
        return [IMAGES] if self.labels is None else [IMAGES, MASKS]

    def stems(self, number: int) -> list[str]:
        """File names of a slice's tiles, without suffix."""
        stem = f"{self.name}_{self.cut.axis}{number:0{self.digits}}"
        if self.cut.tile is None:
            return [stem]
        rows, columns = (len(str(side)) for side in self.size)
        down, across = self.cut.sides
        return [
            f"{stem}_{down}{tile.row:0{rows}}_{across}{tile.column:0{columns}}"
            for tile in self.tiles
        ]

    def pending(self, output: Path) -> dict[str, list[int]]:
        """Slices of each part of which a file is missing."""
        missing = {}
        for part, numbers in self.parts.items():
            there = [
                {path.name for path in (output / part / kind).glob("*.png")}
                for kind in self.folders
            ]
            missing[part] = [
                number
                for number in numbers
                if any(f"{s}.png" not in names for s in self.stems(number) for names in there)
            ]
        return missing

    def note(self, output: Path, source: Mapping, window: Window | None) -> None:
        """Make the folders, with `VOLUME` in each of them.

        Args:
            source: facts of the image volume; paths stay out, as data sets are shared.
            window: of the grey levels.
        """
        distance = self.voxel[self.cut.number]
        for part, numbers in self.parts.items():
            for kind in self.folders:
                folder = output / part / kind
                folder.mkdir(parents=True, exist_ok=True)
                record = {
                    "pixel_size_nm": self.pixel_size,
                    "slice_distance_nm": distance and distance * self.cut.step,
                    "axis": self.cut.axis,
                    "first_slice": numbers[0],
                    "last_slice": numbers[-1],
                    "window": window,
                    "volume": source,
                }
                write_json(folder / VOLUME, record)

    def write(
        self,
        output: Path,
        pending: Mapping[str, list[int]],
        window: Window | None,
        labels: LabelOptions,
        memory: int,
    ) -> None:
        """Write slices, with a progress bar.

        Args:
            pending: slices of each part.
            window: of the grey levels; None keeps them.
            memory: bytes of slices that are read at once.
        Raises:
            ValueError: a slice cannot be read or written; names it.
        """
        image = self.image
        to_picture = partial(
            grey_picture, window=window, min_is_white=image.min_is_white, bits=bits_of(image)
        )
        sources = [Source(IMAGES, image, to_picture)]
        if self.labels is not None:
            sources.append(Source(MASKS, self.labels, labels.classes))
        total = sum(map(len, pending.values()))
        with (
            ThreadPoolExecutor(MAX_THREADS // 2) as pool,  # each holds a picture or two
            tqdm(total=total, desc="write slices", unit="slice") as bar,
        ):
            for part, numbers in pending.items():
                for slab in self._slabs(numbers, sources, memory):
                    self._write_slab(output / part, slab, sources, pool)
                    bar.update(len(slab))

    def _slabs(self, numbers, sources, memory) -> Iterator[list[int]]:
        """Slices in groups that are read at once."""
        axis = self.cut.number
        chunk = max(source.volume.chunks[axis] for source in sources)
        voxel_bytes = sum(source.volume.dtype.itemsize for source in sources)
        return slabs(numbers, chunk, self.size[0] * self.size[1] * voxel_bytes, memory)

    def _write_slab(self, folder: Path, numbers: list[int], sources, pool) -> None:
        """Write neighbouring slices: masks first, so that no image lacks its mask."""
        for source in reversed(sources):
            axis, first = self.cut.number, numbers[0]
            read = source.volume.slices(axis, first, numbers[-1] + 1)  # (N, H, W)

            def write(number, read=read, source=source, first=first):
                where = f"{source.volume.source}, slice {number} across {self.cut.axis}"
                picture = source.picture(np.ascontiguousarray(read[number - first]), where=where)
                for stem, tile in zip(self.stems(number), self.tiles, strict=True):
                    write_png(folder / source.folder / f"{stem}.png", tile.of(picture))

            list(pool.map(write, numbers))  # raises what `write` raises
