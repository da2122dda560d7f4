"""Draw FIB-SEM-like phantoms: grey images of cells with their masks, in stacks of similar slices.

    python utils/make_phantoms.py data/phantoms --train 200 --val 16 --test 16 --image_size 128

They train the embedded nano base and serve demo and tests. See `microscope/phantoms.py`.
"""

from pathlib import Path

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, new_parser, read_options
from microscope.phantoms import SPLITS, PhantomOptions, write_phantoms
from share import run_script


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "output_dir",
        type=Path,
        metavar="OUTPUT_DIR",
        help="new or empty folder for {train,val,test}/{images,masks}",
    )
    add_options(parser, PhantomOptions, "phantoms")
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    options = read_options(PhantomOptions, args)
    counts = ", ".join(f"{getattr(options, split)} {split}" for split in SPLITS)
    plan = f"{counts} pairs of image and mask in {args.output_dir}"
    if args.dry_run:
        print(dry_run_text(vars(args), plan, hidden=["output_dir"]))
        return
    write_phantoms(args.output_dir, options)
    print(plan)


if __name__ == "__main__":
    run_script(main)
