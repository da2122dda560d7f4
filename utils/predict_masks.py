r"""Segment images: write the masks that trained segmenters predict for them.

    python utils/predict_masks.py segmenter.ckpt images predicted
    python utils/predict_masks.py a.ckpt b.ckpt c.ckpt images predicted --copy_images

This writes `predicted/masks/<stem>.png` with class indices, and `predicted/overview.png`. Each mask
follows from the mean over all eight turns and flips of its image, and over the segmenters: several
that differ in their seeds err less than one. Predictions are layouts too: `generate.py --mask_dir
predicted/masks` draws pairs of images that nobody has labelled, see docs/study.md.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, fraction, new_parser, option, read_options
from core.files import refuse_existing, whole_folder
from core.hardware.device_options import DeviceOptions, pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.labels import IGNORE
from share import run_script


@dataclass(frozen=True)
class PredictionOptions(DeviceOptions):
    """Doubt that is marked, and the machine that predicts."""

    min_confidence: float | None = option(
        None,
        fraction,
        "P",
        f"mark pixels as {IGNORE}, to be ignored, whose class has a lower probability",
    )
    copy_images: bool = option(
        False, bool, help="copy the images beside the masks, so that the folder holds pairs"
    )


def parse_args(argv=None) -> argparse.Namespace:
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "segmenters",
        type=Path,
        nargs="+",
        metavar="SEGMENTER",
        help="checkpoints of utils/train_segmenter.py",
    )
    parser.add_argument("image_path", type=Path, metavar="IMAGES", help="folder of images")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder to make")
    add_options(parser, PredictionOptions, "prediction")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because it loads torch, which takes longer than reading the options.
    from segmentation.prediction import find_images, load_segmenters, write_masks

    read_options(ImageOptions, args).apply()
    options = read_options(PredictionOptions, args)
    refuse_existing(args.output, overwrite=False)
    images = find_images(args.image_path)
    models = load_segmenters(args.segmenters, pick_device(options.device), args.image_path)
    if args.dry_run:
        plan = f"{len(images)} masks of {models[0].architecture['num_classes']} classes"
        plan += f"; all files go to {args.output}"
        print(dry_run_text(vars(args), plan, hidden=["segmenters", "image_path", "output"]))
        return
    with whole_folder(args.output) as folder:
        ignored = write_masks(models, images, folder, options.min_confidence, options.copy_images)
    print(f"{args.output}: {len(images)} masks, {ignored:.1%} of their pixels ignored")


if __name__ == "__main__":
    run_script(main)
