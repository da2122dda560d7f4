r"""Make new masks from real ones: bent, turned, with organelles moved, removed and inserted.

    python utils/vary_masks.py demo/masks varied --copies 4 --objects 2

This writes `varied/masks/<stem>_v<k>.png`, `varied/overview.png` and `varied/variations.json`. The
last says where each mask comes from. No two regions of a class grow together, and the order of
files or the number of processes changes nothing. With `--image_path` the images are bent and turned
like their masks, into `varied/images`: starting points for `generate.py --encode_ratio`.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from conditions.base import classes_option
from conditions.variation import VariationOptions
from conditions.variation_set import Job, draw_overview, find_masks, gather_objects, make
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
from core.hardware.workers import in_workers, workers_option
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import write_png
from core.imaging.pairing import IMAGES, MASKS
from core.imaging.pictures import OVERVIEW
from share import run_script

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


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("mask_path", type=Path, metavar="MASKS", help="masks of class indices")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder to make")
    add_options(parser, SetOptions, "set")
    add_options(parser, VariationOptions, "variation")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


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
    pairs = find_masks(args.mask_path, options.image_path, options.num_classes)
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
        for name in (MASKS, IMAGES) if options.image_path else (MASKS,):
            (folder / name).mkdir()
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
        overview = draw_overview(masks, folder, options.copies, options.num_classes)
        write_png(folder / OVERVIEW, overview)
        record = {"options": {**asdict(options), **asdict(variation)}, "masks": entries}
        write_json(folder / VARIATIONS, record)
    counts = {
        name: sum(entry[name] for entry in entries) for name in ("moved", "removed", "inserted")
    }
    organelles = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{args.output}: {len(jobs)} masks of {len(masks)}; organelles: {organelles}")


if __name__ == "__main__":
    run_script(main)
