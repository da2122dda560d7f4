r"""Train a small U-Net on images and masks, or score how well images follow their masks (mIoU).

A segmenter trained on real images and scored on generated ones tells whether a ControlNet obeys its
masks. Trained on real and generated images together, it tells whether the generated ones help.

    python utils/train_segmenter.py train --image_path data/train/images \
        --mask_path data/train/masks --output segmenter.ckpt
    python utils/train_segmenter.py score --checkpoint segmenter.ckpt --image_path run/images \
        --mask_path run/conditions/mask --shuffled
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from core.devices import device_option, pick_device
from core.files import refuse_existing, write_json
from core.images import write_png
from core.option_sources import plain
from core.options import add_options, new_parser, option, positive_int, read_options
from segmentation.data import gather_pairs
from segmentation.network import build_segmenter, load_segmenter, save_segmenter
from segmentation.scoring import draw_rows, score, score_lines
from segmentation.training import SegmenterOptions, train_segmenter
from share import run_script

PICTURE_ROWS = 6
MASKS_OF = "their masks (class indices): one folder for each, names that match"


@dataclass(frozen=True)
class SegmenterFolderOptions:
    """Images and masks of both commands."""

    image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of images", nargs="+", required=True
    )
    mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+", required=True)


@dataclass(frozen=True)
class SegmenterFileOptions:
    """Further files of `train`."""

    val_image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of validation images", nargs="+"
    )
    val_mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+")
    num_classes: int = option(3, positive_int, "INT", "masks hold 0 .. INT-1")
    output: Path = option(None, Path, "FILE", "checkpoint to write", required=True)


@dataclass(frozen=True)
class SegmenterScoreOptions:
    """Options of `score`."""

    checkpoint: Path = option(None, Path, "FILE", "segmenter that `train` wrote", required=True)
    shuffled: bool = option(
        False, bool, help="also score against the masks of other images: the level of chance"
    )
    output: Path | None = option(None, Path, "FILE", "JSON file to write")
    picture: Path | None = option(
        None, Path, "FILE", f"PNG to write: {PICTURE_ROWS} rows of image | mask | prediction"
    )


@dataclass(frozen=True)
class SegmenterRunOptions:
    """Options of both commands."""

    device: str = device_option()
    overwrite: bool = option(False, bool, help="replace files that exist")

    def check(self):
        """Raise OptionError for a device that is not there."""
        pick_device(self.device)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    formatter = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}
    train = commands.add_parser("train", help="train a segmenter and save it", **formatter)
    add_options(train, SegmenterFolderOptions, "training pairs")
    add_options(train, SegmenterFileOptions, "other data")
    length = train.add_argument_group("length").add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=positive_int,
        default=40,
        metavar="INT",
        help="passes over the training images",
    )
    length.add_argument(
        "--max_steps", type=positive_int, metavar="INT", help="optimizer steps, instead of --epochs"
    )
    add_options(train, SegmenterOptions, "training")
    scoring = commands.add_parser(
        "score", help="score folders of images and masks with a saved segmenter", **formatter
    )
    add_options(scoring, SegmenterFolderOptions, "pairs")
    add_options(scoring, SegmenterScoreOptions, "scoring")
    for command in (train, scoring):
        add_options(command, SegmenterRunOptions, "run")
    args = parser.parse_args(argv)
    check_command_line(train if args.command == "train" else scoring, args)
    return args


def check_command_line(command: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with an error where folders of images and masks do not match, or one class is left."""
    for prefix in ("", "val_") if args.command == "train" else ("",):
        images, masks = getattr(args, f"{prefix}image_path"), getattr(args, f"{prefix}mask_path")
        if len(images) != len(masks):
            command.error(
                f"--{prefix}image_path names {len(images)} folders, "
                f"--{prefix}mask_path {len(masks)}: give one for each"
            )
    if args.command == "train" and args.num_classes < 2:
        command.error("--num_classes must be at least 2")


def train_and_save(args: argparse.Namespace) -> None:
    """Check, train, score the validation images, save."""
    folders, files = (
        read_options(SegmenterFolderOptions, args),
        read_options(SegmenterFileOptions, args),
    )
    options, run = read_options(SegmenterOptions, args), read_options(SegmenterRunOptions, args)
    refuse_existing(files.output, run.overwrite)
    device = pick_device(run.device)
    # Finds a wrong name before masks are read.
    build_segmenter(files.num_classes, options.encoder, option="--encoder")
    pairs = gather_pairs(folders.image_path, folders.mask_path, files.num_classes)
    val_pairs = gather_pairs(files.val_image_path, files.val_mask_path, files.num_classes)
    files.output.parent.mkdir(parents=True, exist_ok=True)
    # Without --max_steps the last epoch may end in a part: batches are always full.
    steps = args.max_steps or math.ceil(args.epochs * len(pairs) / options.batch_size)
    print(
        f"training on {len(pairs)} images, validating on {len(val_pairs)}: "
        f"{steps} steps of {options.batch_size} crops on {device}"
    )
    model = train_segmenter(
        pairs, val_pairs, files.num_classes, steps, options, device, progress=True
    )
    # Texts and numbers alone: a checkpoint must load without running code.
    meta = {"options": {name: plain(value) for name, value in vars(args).items()}}
    if val_pairs:
        meta["val"] = score(model, val_pairs, files.num_classes)
        print(score_lines("validation", meta["val"]))
    save_segmenter(files.output, model, meta, run.overwrite)
    print(f"saved {files.output}")


def score_and_write(args: argparse.Namespace) -> None:
    """Check, score, write the files that were asked for."""
    folders, options = (
        read_options(SegmenterFolderOptions, args),
        read_options(SegmenterScoreOptions, args),
    )
    run = read_options(SegmenterRunOptions, args)
    # Before the scoring, which takes minutes.
    for path in filter(None, (options.output, options.picture)):
        refuse_existing(path, run.overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
    model = load_segmenter(options.checkpoint, pick_device(run.device))
    num_classes = model.architecture["num_classes"]
    pairs = gather_pairs(folders.image_path, folders.mask_path, num_classes)
    result = score(model, pairs, num_classes, options.shuffled, progress=True)
    print(score_lines(" ".join(map(str, folders.image_path)), result))
    if options.output:
        sources = {"checkpoint": options.checkpoint, **vars(folders)}
        write_json(options.output, result | sources)
        print(f"wrote {options.output}")
    if options.picture:
        write_png(options.picture, draw_rows(model, pairs[:PICTURE_ROWS], num_classes))
        print(f"wrote {options.picture}")


def main(argv=None):
    args = parse_args(argv)
    train_and_save(args) if args.command == "train" else score_and_write(args)


if __name__ == "__main__":
    run_script(main)
