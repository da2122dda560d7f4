"""Draw FIB-SEM-like phantoms: grey images of cells with their masks, in stacks of similar slices.

    python utils/make_phantoms.py data/phantoms --train 200 --val 16 --test 16 --image_size 128

They train the embedded nano base and serve demo and tests. See `core/phantoms.py`.
"""

from pathlib import Path

from core.options import add_options, new_parser, read_options
from core.phantoms import SPLITS, PhantomOptions, write_phantoms
from share import run_script


def parse_args(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "output_dir",
        type=Path,
        metavar="OUTPUT_DIR",
        help="new or empty folder for {train,val,test}/{images,masks}",
    )
    add_options(parser, PhantomOptions, "phantoms")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    options = read_options(PhantomOptions, args)
    write_phantoms(args.output_dir, options)
    counts = ", ".join(f"{getattr(options, split)} {split}" for split in SPLITS)
    print(f"{counts} pairs of image and mask in {args.output_dir}")


if __name__ == "__main__":
    run_script(main)
