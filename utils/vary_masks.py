r"""Make new masks from real ones: bent, turned, with organelles moved, removed and inserted.

    python utils/vary_masks.py demo/masks varied --copies 4 --objects 2

This writes `varied/masks/<stem>_v<k>.png`, `varied/overview.png` and `varied/variations.json`. The
last says where each mask comes from. No two regions of a class grow together, and the order of
files or the number of processes changes nothing. With `--image_path` the images are bent and turned
like their masks, into `varied/images`: starting points for `generate.py --encode_ratio`.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
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
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    add_options,
    new_parser,
    non_negative_int,
    option,
    positive_int,
    read_options,
)
from core.files import refuse_existing, whole_folder, write_json
from core.hardware.workers import in_workers
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import list_images, read_grey, to_uint8, write_png
from core.imaging.pairing import in_natural_order, stem_of
from core.imaging.pictures import class_colours, evenly, scale_longer_side, tile
from core.seeds import sample_seed
from share import run_script

VARIATIONS = "variations.json"
LIBRARY_MASKS = 200  # evenly spread; their organelles can be inserted into any mask
OVERVIEW_ROWS, OVERVIEW_COLUMNS = 6, 4  # masks; new masks of each
OVERVIEW_SIDE = 192  # pixels


@dataclass(frozen=True)
class SetOptions:
    """Files that are read, and how many are made."""

    num_classes: int = classes_option()
    image_path: Path | None = option(
        None, Path, "DIR", "images of the masks, to be bent and turned like them"
    )
    copies: int = option(4, positive_int, "INT", "new masks of each mask")
    seed: int = option(0, non_negative_int, "INT", "of all draws")
    num_workers: int = option(len(os.sched_getaffinity(0)), non_negative_int, "INT", "processes")


class Job(NamedTuple):
    """One new mask to make: the `copy`-th of `mask`; `image` is None where there are none."""

    mask: Path
    image: Path | None
    copy: int

    @property
    def name(self) -> str:
        """Stem of the files that are written."""
        return f"{stem_of(self.mask)}_v{self.copy}"


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("mask_path", type=Path, metavar="MASKS", help="masks of class indices")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder to make")
    add_options(parser, SetOptions, "set")
    add_options(parser, VariationOptions, "variation")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def find_masks(folder: Path, options: SetOptions) -> list[tuple[Path, Path | None]]:
    """Checked masks in natural order, each with its image or None.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: a file is missing, or does not fit.
    """
    if options.image_path is None:
        masks = [(path, None) for path in in_natural_order(list_images(folder))]
        classes = set()
        for path, _ in bar_for_many(masks, desc="check masks"):
            classes |= {*np.unique(read_mask(path, options.num_classes)).tolist()}
        notify_of_one_class(folder, len(masks), classes)
        return masks
    pairs = find_pairs(options.image_path, folder)
    check_pairs(pairs, create_condition("segmentation", ConditionOptions(options.num_classes)))
    return [(pair.condition, pair.image) for pair in pairs]


def gather_objects(masks: Sequence[Path], num_classes: int, classes: Sequence[int]) -> list[Object]:
    """Organelles of masks that are evenly spread over the set."""
    found = [
        find_objects(read_mask(path, num_classes), classes)
        for path in bar_for_many(evenly(masks, LIBRARY_MASKS), desc="find organelles")
    ]
    return list(chain.from_iterable(found))


def make(
    job: Job, folder: Path, options: SetOptions, variation: VariationOptions, library: list[Object]
) -> dict:
    """Make a new mask, and its image where there is one; returns its entry of the record."""
    rng = np.random.default_rng(sample_seed(options.seed, stem_of(job.mask), job.copy))
    labels = read_mask(job.mask, options.num_classes)
    new = vary(labels, variation, rng, library)
    write_png(folder / "masks" / f"{job.name}.png", new.labels.astype(np.uint8))
    if job.image:
        picture = to_uint8(take(read_grey(job.image), new.places, smooth=True))
        write_png(folder / "images" / f"{job.name}.png", picture)
    counts = {"moved": new.moved, "removed": new.removed, "inserted": new.inserted}
    return {"name": job.name, "source": job.mask.name, **counts}


def draw_overview(masks: Sequence[Path], folder: Path, options: SetOptions) -> np.ndarray:
    """Some masks with their new ones on their right, uint8 (H, W, 3)."""
    rows = []
    for mask in evenly(masks, OVERVIEW_ROWS):
        copies = range(min(options.copies, OVERVIEW_COLUMNS))
        new = [folder / "masks" / f"{Job(mask, None, copy).name}.png" for copy in copies]
        labels = [read_mask(path, options.num_classes) for path in (mask, *new)]
        rows.append([scale_longer_side(class_colours(array), OVERVIEW_SIDE) for array in labels])
    return tile(rows, titles=[mask.name for mask in evenly(masks, OVERVIEW_ROWS)])


def main(argv=None):
    args = parse_args(argv)
    use_image_options(args)
    options, variation = read_options(SetOptions, args), read_options(VariationOptions, args)
    for label in variation.objects:
        if label >= options.num_classes:
            raise ValueError(
                f"--objects: {label} is no class of --num_classes {options.num_classes}"
            )
    refuse_existing(args.output, overwrite=False)
    pairs = find_masks(args.mask_path, options)
    masks = [mask for mask, _ in pairs]
    library = gather_objects(masks, options.num_classes, variation.objects)
    if variation.objects and not library:
        raise ValueError(
            f"--objects {' '.join(map(str, variation.objects))}: {args.mask_path} shows no region "
            "of these classes that lies inside one other class"
        )
    jobs = [Job(*pair, copy) for pair in pairs for copy in range(options.copies)]
    if args.dry_run:
        plan = f"{len(jobs)} masks of {len(masks)}; all files go to {args.output}"
        print(dry_run_text(vars(args), plan, hidden=["mask_path", "output"]))
        return
    with whole_folder(args.output) as folder:
        for name in ("masks", "images") if options.image_path else ("masks",):
            (folder / name).mkdir()
        work = partial(make, folder=folder, options=options, variation=variation, library=library)
        results = in_workers(work, jobs, options.num_workers)
        entries = list(tqdm(results, total=len(jobs), desc="vary masks", unit="mask"))
        write_png(folder / "overview.png", draw_overview(masks, folder, options))
        record = {"options": {**asdict(options), **asdict(variation)}, "masks": entries}
        write_json(folder / VARIATIONS, record)
    counts = {
        name: sum(entry[name] for entry in entries) for name in ("moved", "removed", "inserted")
    }
    organelles = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{args.output}: {len(jobs)} masks of {len(masks)}; organelles: {organelles}")


if __name__ == "__main__":
    run_script(main)
