"""Draw FIB-SEM-like phantoms: grey cell images with a mask of background, cytoplasm and nucleus, in stacks of similar slices.

They train the embedded nano base and serve demo and tests. Nothing in them is copied from a microscope: outlines, organelles,
noise and curtaining are drawn from formulas. Phantom i depends on (seed, split, i) alone; at another size it shows the same cells.

    python utils/make_phantoms.py data/phantoms --train 200 --val 16 --test 16 --image_size 128
"""

import argparse
from pathlib import Path

from core.options import non_negative_int, positive_int
from core.phantoms import SPLITS, write_phantoms
from share import run_script


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "output_dir",
        type=Path,
        metavar="OUTPUT_DIR",
        help="new or empty folder for {train,val,test}/{images,masks}",
    )
    for split, count in zip(SPLITS, (200, 16, 16), strict=True):
        parser.add_argument(
            f"--{split}",
            type=non_negative_int,
            default=count,
            metavar="INT",
            help=f"number of pairs in {split}/",
        )
    parser.add_argument(
        "--image_size",
        type=positive_int,
        default=128,
        metavar="INT",
        help="width and height in pixels",
    )
    parser.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="another seed gives other phantoms",
    )
    args = parser.parse_args(argv)
    if args.image_size < 32:
        parser.error(f"--image_size {args.image_size}: cells need at least 32 pixels")
    return args


def main(argv=None):
    args = parse_args(argv)
    counts = {split: getattr(args, split) for split in SPLITS}
    write_phantoms(args.output_dir, counts, args.image_size, args.seed)
    print(
        ", ".join(f"{count} {split}" for split, count in counts.items()),
        f"pairs of image and mask in {args.output_dir}",
    )


if __name__ == "__main__":
    run_script(main)
