r"""Make new masks from real ones: bent, turned, with organelles moved, removed and inserted.

    python utils/vary_masks.py demo/masks varied --copies 4 --objects 2

This writes `varied/masks/<stem>_v<k>.png`, `varied/overview.png` and `varied/variations.json`. The
last says where each mask comes from. No two regions of a class grow together, and the order of
files or the number of processes changes nothing. With `--image_path` the images are bent and turned
like their masks, into `varied/images`: starting points for `generate.py --encode_ratio`.
"""

from pathlib import Path

from conditions.variation import VariationOptions
from conditions.variation_set import SetOptions, find_masks, gather_organelles, make_set
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    add_options,
    new_parser,
    read_options,
)
from core.files import refuse_existing, whole_folder
from core.imaging.image_options import ImageOptions, add_image_options
from share import run_script


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
    read_options(ImageOptions, args).apply()
    options, variation = read_options(SetOptions, args), read_options(VariationOptions, args)
    refuse_existing(args.output, overwrite=False)
    pairs = find_masks(args.mask_path, options.image_path, options.num_classes)
    library = gather_organelles([mask for mask, _ in pairs], options.num_classes, variation.objects)
    if args.dry_run:
        plan = f"{options.copies * len(pairs)} masks of {len(pairs)}; all files go to {args.output}"
        print(dry_run_text(vars(args), plan, hidden=["mask_path", "output"]))
        return
    with whole_folder(args.output) as folder:
        entries = make_set(folder, pairs, options, variation, library)
    counts = {
        name: sum(entry[name] for entry in entries) for name in ("moved", "removed", "inserted")
    }
    organelles = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{args.output}: {len(entries)} masks of {len(pairs)}; organelles: {organelles}")


if __name__ == "__main__":
    run_script(main)
