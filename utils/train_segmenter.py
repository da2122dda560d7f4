"""Train a small U-Net on images and masks, and score with it how well a folder of images follows its masks (mIoU).

A segmenter trained on real images and scored on generated ones tells whether a ControlNet obeys its masks; trained on real and
generated images together, it tells whether the generated ones help.

    python utils/train_segmenter.py train --image_path data/train/images --mask_path data/train/masks --output seg.ckpt
    python utils/train_segmenter.py score --checkpoint seg.ckpt --image_path run/images --mask_path run/conditions/mask --shuffled
"""

import argparse
import json
import math
from pathlib import Path

from core.devices import pick_device
from core.files import refuse_existing, whole_file
from core.images import write_png
from core.options import add_bool, non_negative_int, positive_float, positive_int
from segmentation.data import gather_pairs
from segmentation.network import (
    ENCODER,
    SIZE_MULTIPLE,
    build_segmenter,
    load_segmenter,
    save_segmenter,
)
from segmentation.scoring import draw_rows, score
from segmentation.training import train_segmenter
from share import run_script

PICTURE_ROWS = 6


def print_scores(name: str, result: dict) -> None:
    """One line: mIoU and the IoU of each class, and the same against other images' masks where it was asked for."""
    for suffix, title in (("", ""), ("_shuffled", " against masks of other images")):
        if f"miou{suffix}" in result:
            iou = ", ".join(
                f"{i}: {'absent' if x is None else f'{x:.4f}'}"
                for i, x in enumerate(result[f"iou{suffix}"])
            )
            print(
                f"{name}: mIoU {result[f'miou{suffix}']:.4f}{title} ({iou}; {result['images']} images)"
            )


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    formatter = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}
    train_parser = commands.add_parser("train", help="train a segmenter and save it", **formatter)
    score_parser = commands.add_parser(
        "score", help="score a folder of images and masks with a saved segmenter", **formatter
    )

    def add_folders(group, prefix, required, what):
        kind = {"type": Path, "nargs": "+", "required": required, "default": [], "metavar": "DIR"}
        group.add_argument(f"--{prefix}image_path", help=f"folders of {what}", **kind)
        group.add_argument(
            f"--{prefix}mask_path",
            help="their masks (class indices): one folder for each, names that match",
            **kind,
        )

    data = train_parser.add_argument_group("data")
    add_folders(data, "", True, "training images")
    add_folders(data, "val_", False, "validation images")
    data.add_argument(
        "--num_classes", type=positive_int, default=3, metavar="INT", help="masks hold 0 .. INT-1"
    )
    data.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="checkpoint to write"
    )

    training = train_parser.add_argument_group("training")
    length = training.add_mutually_exclusive_group()
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
    training.add_argument(
        "--batch_size", type=positive_int, default=16, metavar="INT", help="crops per step"
    )
    training.add_argument(
        "--learning_rate",
        type=positive_float,
        default=3e-3,
        metavar="FLOAT",
        help="highest learning rate of AdamW",
    )
    training.add_argument(
        "--image_size",
        type=positive_int,
        default=128,
        metavar="INT",
        help="side of the crops, a multiple of 32 pixels",
    )
    training.add_argument("--encoder", default=ENCODER, metavar="NAME",
                          help="untrained encoder of segmentation-models-pytorch; real images want resnet18 (3 times slower)")  # fmt: skip
    training.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="of weights, order and augmentation",
    )
    training.add_argument(
        "--num_workers",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="processes that read images",
    )

    scoring = score_parser.add_argument_group("scoring")
    scoring.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="segmenter that `train` wrote",
    )
    add_folders(scoring, "", True, "images")
    add_bool(
        scoring,
        "--shuffled",
        False,
        help="also score against the masks of other images: the level of chance",
    )
    scoring.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    scoring.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help=f"PNG to write: {PICTURE_ROWS} rows of image | mask | prediction",
    )

    for command in (train_parser, score_parser):
        run = command.add_argument_group("run")
        run.add_argument(
            "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ..."
        )
        add_bool(run, "--overwrite", False, help="replace files that exist")

    args = parser.parse_args(argv)
    command = train_parser if args.command == "train" else score_parser
    for prefix in ("", "val_") if args.command == "train" else ("",):
        images, masks = getattr(args, f"{prefix}image_path"), getattr(args, f"{prefix}mask_path")
        if len(images) != len(masks):
            command.error(
                f"--{prefix}image_path names {len(images)} folders, --{prefix}mask_path {len(masks)}: give one for each"
            )
    if args.command == "train" and args.num_classes < 2:
        command.error("--num_classes must be at least 2")
    if args.command == "train" and args.image_size % SIZE_MULTIPLE:
        command.error(f"--image_size {args.image_size} is no multiple of {SIZE_MULTIPLE}")
    return args


def run_train(args) -> None:
    """Check, train, score the validation images, save."""
    refuse_existing(args.output, args.overwrite)
    device = pick_device(args.device)
    build_segmenter(
        args.num_classes, args.encoder
    )  # a wrong name is found here, before the masks are read
    pairs = gather_pairs(args.image_path, args.mask_path, args.num_classes)
    val_pairs = gather_pairs(args.val_image_path, args.val_mask_path, args.num_classes)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    steps = args.max_steps or math.ceil(args.epochs * len(pairs) / args.batch_size)
    print(
        f"training on {len(pairs)} images, validating on {len(val_pairs)}: {steps} steps of {args.batch_size} crops on {device}"
    )
    model = train_segmenter(
        pairs, val_pairs, args.num_classes, steps, args.batch_size, args.learning_rate, args.image_size, args.seed, device,
        args.encoder, args.num_workers, progress=True,
    )  # fmt: skip
    meta = {
        "options": {
            key: value if isinstance(value, int | float | None) else str(value)
            for key, value in vars(args).items()
        }
    }
    if val_pairs:
        meta["val"] = score(model, val_pairs, args.num_classes)
        print_scores("validation", meta["val"])
    save_segmenter(args.output, model, meta, args.overwrite)
    print(f"saved {args.output}")


def run_score(args) -> None:
    """Check, score, write what was asked for."""
    for path in filter(None, (args.output, args.picture)):
        refuse_existing(path, args.overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
    model = load_segmenter(args.checkpoint, pick_device(args.device))
    num_classes = model.architecture["num_classes"]
    pairs = gather_pairs(args.image_path, args.mask_path, num_classes)
    result = score(model, pairs, num_classes, args.shuffled, progress=True)
    print_scores(" ".join(map(str, args.image_path)), result)
    if args.output:
        sources = {
            "checkpoint": args.checkpoint,
            "image_path": args.image_path,
            "mask_path": args.mask_path,
        }
        with whole_file(args.output) as temporary:
            temporary.write_text(json.dumps(result | sources, indent=2, default=str) + "\n")
        print(f"wrote {args.output}")
    if args.picture:
        write_png(args.picture, draw_rows(model, pairs[:PICTURE_ROWS], num_classes))
        print(f"wrote {args.picture}")


def main(argv=None):
    args = parse_args(argv)
    run_train(args) if args.command == "train" else run_score(args)


if __name__ == "__main__":
    run_script(main)
