"""Sets of new masks, made from real ones, with the images of these where there are any."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from conditions import ConditionOptions, create_condition
from conditions.base import classes_option
from conditions.objects import Object, find_objects
from conditions.pairs import check_pairs, find_pairs, notify_of_one_class
from conditions.segmentation import read_mask
from conditions.variation import VariationOptions, take, vary
from core.checks import bar_for_many
from core.command_line.options import OptionError, non_negative_int, option, positive_int
from core.files import sha256_of, write_json
from core.hardware.workers import in_workers, workers_option
from core.imaging.images import list_images, read_grey, to_uint8, write_png
from core.imaging.labels import check_label_files
from core.imaging.pairing import IMAGES, MASKS, in_natural_order, stem_of
from core.imaging.pictures import OVERVIEW, class_colours, evenly, scale_longer_side, tile
from core.recording.records import Record, read_checked
from core.seeds import sample_seed

LIBRARY_MASKS = 200  # evenly spread; their organelles can be inserted into any mask
OVERVIEW_ROWS, OVERVIEW_COLUMNS = 6, 4  # masks; new masks of each
OVERVIEW_SIDE = 192  # pixels
VARIATIONS = "variations.json"


@dataclass(frozen=True)
class SetOptions:
    """Files that are read, and how many are made."""

    num_classes: int = classes_option()
    image_path: Path | None = option(
        None, Path, "DIR", "images of the masks, to be bent and turned like them"
    )
    copies: int = option(4, positive_int, "INT", "new masks of each mask")
    seed: int = option(0, non_negative_int, "INT", "of all draws")
    num_workers: int = workers_option()


class VariationEntry(Record):
    """A new mask in the record of a set.

    Attributes:
        name: stem of its file, and of its image's where there is one.
        checksums: SHA-256 of the mask that it was made from, and of that one's image; then of what
            these were made from, where they are variations. Empty in sets of older versions.
    """

    name: str
    checksums: list[str] = []


class VariationsRecord(Record):
    """The part of `VARIATIONS` that tells where masks come from."""

    masks: list[VariationEntry]


class VariationJob(NamedTuple):
    """One new mask to make: the `copy`-th of `mask`; `image` is None where there are none."""

    mask: Path
    image: Path | None
    copy: int

    @property
    def name(self) -> str:
        """Stem of the files that are written."""
        return f"{stem_of(self.mask)}_v{self.copy}"


def find_masks(
    folder: Path, image_path: Path | None, num_classes: int
) -> list[tuple[Path, Path | None]]:
    """Checked masks in natural order, each with its image or None.

    Args:
        image_path: folder of the images; None for none.
    Raises:
        FileNotFoundError, RuntimeError, ValueError: a file is missing, or does not fit.
    """
    if image_path is None:
        masks = [(path, None) for path in in_natural_order(list_images(folder))]
        classes = set()
        for path, _ in bar_for_many(masks, desc="check masks"):
            classes |= {*np.unique(read_mask(path, num_classes)).tolist()}
        check_label_files(path for path, _ in masks)
        notify_of_one_class(folder, len(masks), classes)
        return masks
    pairs = find_pairs(image_path, folder)
    check_pairs(pairs, create_condition("segmentation", ConditionOptions(num_classes)))
    return [(pair.condition, pair.image) for pair in pairs]


def gather_organelles(
    masks: Sequence[Path], num_classes: int, classes: Sequence[int]
) -> list[Object]:
    """Organelles of masks that are evenly spread over the set.

    Args:
        classes: of the organelles; none where nothing is wanted.
    Raises:
        OptionError: for `objects`: a class that masks cannot hold, or of which they hold nothing.
    """
    for label in classes:
        if label >= num_classes:
            raise OptionError("objects", f"{label} is no class of `num_classes` {num_classes}")
    found = [
        find_objects(read_mask(path, num_classes), classes)
        for path in bar_for_many(evenly(masks, LIBRARY_MASKS), desc="find organelles")
    ]
    library = list(chain.from_iterable(found))
    if classes and not library:
        raise OptionError(
            "objects",
            f"{' '.join(map(str, classes))}: {masks[0].parent} shows no region of these classes "
            "that lies inside one other class",
        )
    return library


def make_set(
    folder: Path,
    pairs: Sequence[tuple[Path, Path | None]],
    options: SetOptions,
    variation: VariationOptions,
    library: list[Object],
) -> list[dict]:
    """Make a set of new masks with its overview and its record; returns the record's entries.

    Args:
        folder: an empty one.
        pairs: as `find_masks` returns them.
        library: as for `make`.
    """
    for name in (MASKS, IMAGES) if options.image_path else (MASKS,):
        (folder / name).mkdir()
    jobs = [VariationJob(*pair, copy) for pair in pairs for copy in range(options.copies)]
    work = partial(
        make,
        folder=folder,
        num_classes=options.num_classes,
        seed=options.seed,
        variation=variation,
        library=library,
    )
    results = in_workers(work, jobs, options.num_workers)
    entries = list(tqdm(results, total=len(jobs), desc="vary masks", unit="mask"))
    masks = [mask for mask, _ in pairs]
    earlier = sources_of_files(masks)  # masks may be variations themselves
    for job, entry in zip(jobs, entries, strict=True):
        entry["checksums"] += earlier.get(str(job.mask), [])
    overview = draw_overview(masks, folder, options.copies, options.num_classes)
    write_png(folder / OVERVIEW, overview)
    record = {"options": {**asdict(options), **asdict(variation)}, "masks": entries}
    write_json(folder / VARIATIONS, record)
    return entries


def make(
    job: VariationJob,
    folder: Path,
    num_classes: int,
    seed: int,
    variation: VariationOptions,
    library: list[Object],
) -> dict:
    """Make a new mask, and its image where there is one; returns its entry of the record.

    Args:
        folder: holds `masks/`, and `images/` where there are any.
        seed: of the set; each mask draws from its own.
        library: organelles to insert, as `gather_organelles` finds them.
    """
    rng = np.random.default_rng(sample_seed(seed, stem_of(job.mask), job.copy))
    labels = read_mask(job.mask, num_classes)
    new = vary(labels, variation, rng, library)
    write_png(folder / MASKS / f"{job.name}.png", new.labels.astype(np.uint8))
    if job.image:
        picture = to_uint8(take(read_grey(job.image), new.places, smooth=True))
        write_png(folder / IMAGES / f"{job.name}.png", picture)
    counts = {"moved": new.moved, "removed": new.removed, "inserted": new.inserted}
    checksums = [sha256_of(path) for path in (job.mask, job.image) if path]
    return {"name": job.name, "source": job.mask.name, "checksums": checksums, **counts}


def sources_of_variations(folder: Path) -> dict[str, list[str]]:
    """SHA-256 of the mask, and of the image, that each new mask of a set was made from, by stem.

    Nothing where `folder` is no set.

    Raises:
        ValueError: its record is damaged.
    """
    path = folder / VARIATIONS
    if not path.exists():
        return {}
    return {entry.name: entry.checksums for entry in read_checked(path, VariationsRecord).masks}


def sources_of_files(paths: Iterable[str | Path]) -> dict[str, list[str]]:
    """As `sources_of_variations`, by file: of those files whose folder lies in a set.

    Raises:
        ValueError: as `sources_of_variations`.
    """
    variations, found = cache(sources_of_variations), {}
    for path in map(Path, paths):
        if checksums := variations(path.parent.parent).get(stem_of(path)):
            found[str(path)] = checksums
    return found


def draw_overview(masks: Sequence[Path], folder: Path, copies: int, num_classes: int) -> np.ndarray:
    """Some masks with their new ones on their right, uint8 (H, W, 3).

    Args:
        folder: as for `make`.
        copies: new masks of each mask.
    """
    rows = []
    for mask in evenly(masks, OVERVIEW_ROWS):
        shown = range(min(copies, OVERVIEW_COLUMNS))
        new = [folder / MASKS / f"{VariationJob(mask, None, copy).name}.png" for copy in shown]
        labels = [read_mask(path, num_classes) for path in (mask, *new)]
        rows.append([scale_longer_side(class_colours(array), OVERVIEW_SIDE) for array in labels])
    return tile(rows, titles=[mask.name for mask in evenly(masks, OVERVIEW_ROWS)])
