"""A finished run as a data set for segmentation: images, masks and `splits.csv`.

Image and mask of a pair have equal names; `generation/exporting/layouts.py` says in which folders
they lie. All images have 8 bits and the same number of channels, all masks hold 8-bit class
indices.

`splits.csv` describes each pair. Every pair is of the split `train`: a generated image shows the
mask that it was made from. So nobody must test on it, or train on it and test on an image of its
mask. Pairs of one mask, and of its variations, share the column `group`, by which a later split can
keep them together.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from conditions import ConditionOptions, Segmentation
from conditions.pairs import Pair, check_pairs, find_pairs
from conditions.segmentation import read_mask
from core.checks import MAX_THREADS
from core.command_line.options import OptionError, option, option_names
from core.csv_files import write_csv
from core.files import check_new_folder, whole_folder
from core.imaging.images import LUMA, read_image
from core.imaging.known_sizes import notify_of_other_size, pixel_size_of_folder
from core.imaging.labels import IGNORE
from core.imaging.pairing import IMAGES, MASKS, stem_of
from core.imaging.pixel_size import PixelSize
from core.refusals import same_kind
from core.signals import StopRequest
from generation.exporting.card import write_data_card
from generation.exporting.groups import Groups
from generation.exporting.layouts import BACKGROUND, LAYOUTS, Case, PairsLayout
from generation.folder.manifest import leading_file, read_manifest
from generation.names import CONDITIONS, IMAGE_PREFIX

COLUMNS = ("file", "split", "source", "group", "condition", "seed", "prompt")
SYNTHETIC, REAL = "synthetic", "real"  # in the column `source`


@dataclass(frozen=True)
class ExportOptions:
    """Data set that the finished run becomes, and the real pairs in it."""

    export_dataset: Path | None = option(
        None, Path, "DIR", "new folder for the finished run as images, masks and splits.csv"
    )
    include_real: Sequence[Path] | None = option(
        None,
        Path,
        ("IMAGES", "MASKS"),
        "real training pairs that --export_dataset adds",
        nargs=2,
    )
    export_layout: str = option(
        "pairs",
        choices=tuple(LAYOUTS),
        help="folders and records of the data set: images/ and masks/; nnU-Net v2; COCO; an "
        "OME-Zarr for each pair",
    )
    class_names: Sequence[str] | None = option(
        None,
        metavar="NAME",
        help="of the classes in the data set's records, in order; "
        f"{BACKGROUND}, class_1, ... when not given",
        nargs="+",
    )
    licence: str | None = option(
        None, None, "NAME", "licence of the data set as the Hugging Face hub names it, for its card"
    )
    ignore_255: bool = option(
        False, bool, help="masks of --include_real mark pixels that do not count with 255"
    )

    def check(self):
        """Raise OptionError for options of a data set without one, or two classes of one name."""
        # The other way round is fine: a data set may hold generated pairs alone.
        for name in ("include_real", "class_names", "licence"):
            if getattr(self, name) and not self.export_dataset:
                raise OptionError(name, "needs --export_dataset")
        if self.export_layout != "pairs" and not self.export_dataset:
            raise OptionError("export_layout", "needs --export_dataset")
        if self.ignore_255 and not self.include_real:
            raise OptionError("ignore_255", "needs --include_real")
        if len(set(self.class_names or ())) < len(self.class_names or ()):
            raise OptionError("class_names", "two classes have one name")

    def names_of(self, num_classes: int) -> list[str]:
        """Names of the classes.

        Raises:
            OptionError: another number of them is given.
        """
        if not self.class_names:
            return [BACKGROUND, *(f"class_{i}" for i in range(1, num_classes))]
        if len(self.class_names) != num_classes:
            raise OptionError(
                "class_names", f"{len(self.class_names)} names for {num_classes} classes"
            )
        return list(self.class_names)

    def real_pixel_size(self) -> PixelSize | None:
        """Of the real images; None where it is unknown. Raises as `pixel_size_of_folder`."""
        return pixel_size_of_folder(self.include_real[0]) if self.include_real else None

    def notify_of_pixel_sizes(self, size: PixelSize | None) -> None:
        """Warn of real images or masks whose pixel size differs from that of generated ones."""
        for folder in self.include_real or ():
            own = pixel_size_of_folder(folder)
            notify_of_other_size(folder, own, "the generated set", size)

    def words(self) -> list:
        """The options as words of a command line."""
        if not self.export_dataset:
            return []
        words = ["--export_dataset", self.export_dataset, "--export_layout", self.export_layout]
        words += ["--include_real", *self.include_real] if self.include_real else []
        words += ["--ignore_255"] if self.ignore_255 else []
        words += ["--class_names", *self.class_names] if self.class_names else []
        return words + (["--licence", self.licence] if self.licence else [])


@dataclass(frozen=True)
class ExportedPair:
    """A pair of the data set.

    Attributes:
        pair: image and mask, where they lie now.
        source, group: what the columns of these names say.
        line: of the manifest; None for a real pair.
        pixel_size: of the image, None where it is unknown.
    """

    pair: Pair
    source: str
    group: str
    line: dict | None = None
    pixel_size: PixelSize | None = None

    @property
    def name(self) -> str:
        """Name of the files of the pair, without ending."""
        # Prefixes keep real and generated names apart, whatever the real files are called.
        if self.line is None:
            return f"real_{stem_of(self.pair.image)}"
        return f"synth_{stem_of(self.pair.image).removeprefix(IMAGE_PREFIX)}"

    @property
    def condition(self) -> Path:
        """The file that the pair's mask comes from."""
        return self.pair.condition if self.line is None else leading_file(self.line)

    def table_row(self, image_ending: str) -> tuple:
        """Cells in the order of `COLUMNS`.

        Args:
            image_ending: behind the name in the file name of the image.
        """
        line = self.line or {"seed": "", "prompt": ""}
        made = line["seed"], line["prompt"]
        file = f"{self.name}{image_ending}"
        # The name alone: a data set is shared, and folders of a machine are private.
        return file, "train", self.source, self.group, self.condition.name, *made


def check_export(
    options: ExportOptions, num_classes: int, run_dir: Path | None = None
) -> list[Pair]:
    """Find everything that would stop the export, before anything slow happens.

    Args:
        run_dir: folder of the run if it is there already.
    Returns:
        The real pairs to include; none where nothing is exported.
    Raises:
        FileExistsError: the new folder holds something already, or is one of the run's.
        ValueError: class names of another number, or names that the layout does not allow.
        OSError, ValueError, RuntimeError: the folder cannot be written, or the real files are not
            sound pairs.
    """
    folder = options.export_dataset
    if folder is None:
        return []
    try:
        check_new_folder(folder)
    except OSError as error:
        raise same_kind(error, f"--export_dataset {error}") from error
    if run_dir and any(
        folder.resolve().is_relative_to((run_dir / name).resolve())
        for name in (IMAGES, MASKS, CONDITIONS)
    ):
        raise FileExistsError(
            f"--export_dataset {folder}: is among the pictures of the run. Name another place."
        )
    with option_names():
        names = options.names_of(num_classes)
    LAYOUTS[options.export_layout].check(folder, names)
    if not options.include_real:
        return []
    pairs = find_pairs(*options.include_real)
    check_pairs(pairs, Segmentation(ConditionOptions(num_classes), options.ignore_255))
    options.real_pixel_size()  # raises for a damaged record
    return pairs


def is_grey(path: Path) -> bool:
    """Tell whether the three channels of an image are equal."""
    pixels = read_image(path)
    return bool((pixels == pixels[..., :1]).all())


def pairs_to_export(
    run_dir: Path, real: Sequence[Pair], size: PixelSize | None
) -> Iterator[ExportedPair]:
    """The real pairs, whose pixels have a size, then those of the run's manifest."""
    groups = Groups(run_dir, real)
    for pair in real:
        yield ExportedPair(pair, REAL, groups.of_real(pair), pixel_size=size)
    # The manifest, not a listing of the folder: it tells which mask a pair was made from.
    for line in read_manifest(run_dir):
        pair = Pair(run_dir / line["image"], run_dir / line["mask"])
        size = line.get("pixel_size_nm")
        size, group = PixelSize(*size) if size else None, groups.of_generated(line)
        yield ExportedPair(pair, SYNTHETIC, group, line, size)


def write_pair(
    folder: Path, layout: PairsLayout, exported: ExportedPair, grey: bool, num_classes: int
) -> Case:
    """Write image and mask of a pair.

    Args:
        grey: whether images get one channel; generated ones are copied as they are otherwise.
    Raises:
        ValueError, FileNotFoundError: a file is damaged or gone.
    """
    image, mask = exported.pair
    if grey or exported.line is None:
        # On the scale of 0..255, so that a mean of levels that ends in .5 rounds as it always did.
        levels = read_image(image) * 255
        image = (levels @ LUMA if grey else levels).round().astype(np.uint8)
    # Read, not copied: real masks come in several formats, and class indices are checked once more.
    labels = read_mask(mask, num_classes, allow_ignore=True).astype(np.uint8)
    ignored = labels == IGNORE
    labels[ignored] = layout.ignore_label(num_classes)
    layout.write_pair(folder, exported.name, image, labels, exported.pixel_size)
    is_real = exported.source == REAL
    return Case(exported.name, exported.group, is_real, labels.shape, bool(ignored.any()))


def export_dataset(
    options: ExportOptions, run_dir: Path, real: Sequence[Pair], num_classes: int
) -> int:
    """Write real and generated pairs as a data set, whole or not at all; returns their number.

    Where all real images are grey, generated ones become grey too, so that no colour cast tells
    them apart.

    Raises:
        KeyboardInterrupt: the process was asked to end.
    """
    exported = list(pairs_to_export(run_dir, real, options.real_pixel_size()))
    layout, names = LAYOUTS[options.export_layout], options.names_of(num_classes)
    # Renamed into place at the end: a training that finds the folder finds all of it.
    with (
        whole_folder(options.export_dataset) as temporary,
        StopRequest() as stop,
        ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool,
    ):
        grey = layout.always_grey or (
            bool(real) and all(pool.map(is_grey, [pair.image for pair in real]))
        )

        def write(pair):
            # Here, because threads cannot be interrupted; the folder then vanishes.
            if stop:
                raise KeyboardInterrupt
            return write_pair(temporary, layout, pair, grey, num_classes)

        for kind in {layout.images, layout.masks}:
            (temporary / kind).mkdir()
        written = pool.map(write, exported)
        bar = tqdm(written, total=len(exported), desc="export", unit="pair", leave=False)
        cases = list(bar)
        sizes = {pair.pixel_size for pair in exported}
        if len(sizes) == 1 and None not in sizes:
            layout.write_pixel_size(temporary, sizes.pop())
        layout.write_records(temporary, cases, names, grey)
        lines = [pair.line for pair in exported if pair.line]
        contents = layout.contents
        if any(case.has_ignored for case in cases):
            contents += f" Masks mark pixels to be ignored with {layout.ignore_label(num_classes)}."
        write_data_card(temporary, cases, names, lines, contents, options.licence)
        rows = (pair.table_row(layout.image_ending) for pair in exported)
        write_csv(temporary / "splits.csv", COLUMNS, rows)
    return len(exported)
