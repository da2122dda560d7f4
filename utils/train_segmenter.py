r"""Train a small U-Net on images and masks, or score how well images follow their masks (mIoU).

A segmenter trained on real images and scored on generated ones tells whether a ControlNet obeys its
masks. Trained on real and generated images together (`--synthetic_image_path`), it tells whether
the generated ones help; `utils/augmentation_study.py` compares such trainings.

    python utils/train_segmenter.py train --image_path data/train/images \
        --mask_path data/train/masks --output segmenter.ckpt
    python utils/train_segmenter.py score --checkpoint segmenter.ckpt --image_path run/images \
        --mask_path run/conditions/mask --shuffled
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all, plain
from core.command_line.options import (
    OptionError,
    new_parser,
    option_names,
    positive_int,
    read_options,
)
from core.files import check_writable, refuse_existing, write_json
from core.hardware.device_options import pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import write_png
from core.imaging.known_sizes import notify_of_other_size
from core.notices import notify
from segmentation.folders import (
    SegmenterFileOptions,
    SegmenterFolderOptions,
    gather_training_pairs,
    pixel_size_read,
)
from segmentation.options import (
    PICTURE_ROWS,
    SegmenterOptions,
    SegmenterRunOptions,
    SegmenterScoreOptions,
)
from share import run_script

FEW_STEPS = 200  # fewer train nothing that could judge images
DOCS = {
    "train": "Train a segmenter and save it.",
    "score": "Score folders of images and masks with a saved segmenter.",
}
# Command -> parameter of its function -> its options, in the order of the help
GROUPS = {
    "train": {
        "folders": Group(SegmenterFolderOptions, "training pairs"),
        "files": Group(SegmenterFileOptions, "other data"),
        "options": Group(SegmenterOptions, "training"),
        "run": Group(SegmenterRunOptions, "run"),
    },
    "score": {
        "folders": Group(SegmenterFolderOptions, "pairs"),
        "options": Group(SegmenterScoreOptions, "scoring"),
        "run": Group(SegmenterRunOptions, "run"),
    },
}


def add_length(parser: argparse.ArgumentParser) -> None:
    """Add the two ways to say how long a training is."""
    length = parser.add_argument_group("length").add_mutually_exclusive_group()
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


def parse_args(argv=None):
    """The options of the chosen command, and the command itself as `command`."""
    parser = new_parser(__doc__, epilog="Each command lists its options: train --help")
    parser.add_argument("command", choices=GROUPS, help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the command")
    chosen = parser.parse_args(argv)
    name = f"{Path(__file__).name} {chosen.command}"
    parser = new_parser(DOCS[chosen.command], prog=name)
    add_groups(parser, GROUPS[chosen.command])
    if chosen.command == "train":
        add_length(parser)
    add_image_options(parser)
    add_run_control(parser)
    args = parse_all(parser, chosen.options)
    args.command = chosen.command
    return args


def train_and_save(
    folders: SegmenterFolderOptions,
    files: SegmenterFileOptions,
    options: SegmenterOptions,
    run: SegmenterRunOptions,
    values: Mapping,
) -> None:
    """Check, train, score the validation images, save.

    Args:
        values: all options of the command by name.
    """
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.saving import train_to_file
    from segmentation.scoring import score_lines

    refuse_existing(files.output, run.overwrite)
    device = pick_device(run.device)
    pairs = gather_training_pairs(folders, files)
    images = [*folders.image_path, *files.val_image_path, *files.synthetic_image_path]
    pixel_size = pixel_size_read(folders.pixel_size, images)
    # Without --max_steps the last epoch may end in a part: batches are always full.
    crops = values["epochs"] * sum(pairs.numbers.values())
    steps = values["max_steps"] or math.ceil(crops / options.batch_size)
    if not values["max_steps"] and steps < FEW_STEPS:
        notify(
            f"--epochs {values['epochs']} of so few images are only {steps} steps: "
            "real images want --max_steps 800 or more"
        )
    with option_names():
        options.check_sources(pairs.numbers, steps)
        if options.patience and not pairs.validation:
            raise OptionError("patience", "nothing is validated without --val_image_path")
    plan = f"{pairs.describe()}: {steps} steps of {options.batch_size} crops on {device}"
    if values["dry_run"]:
        plan += f"\ncheckpoint: {files.output}"
        print(dry_run_text(values, plan, hidden=["command"]))
        return
    print(plan)
    # Texts and numbers alone: a checkpoint must load without running code.
    meta = {"options": plain(values), "pixel_size_nm": pixel_size and list(pixel_size)}
    scored = train_to_file(
        files.output,
        pairs,
        files.num_classes,
        steps,
        options,
        device=device,
        pixel_side=folders.pixel_size,
        meta=meta,
        overwrite=run.overwrite,
    )
    if scored:
        print(score_lines("validation", scored))
    print(f"saved {files.output}")


def score_and_write(
    folders: SegmenterFolderOptions,
    options: SegmenterScoreOptions,
    run: SegmenterRunOptions,
    values: Mapping,
) -> None:
    """Check, score, write the files that were asked for; `values` as in `train_and_save`."""
    from segmentation.data import gather_pairs  # here, as above
    from segmentation.network import load_segmenter, pixel_size_of_segmenter
    from segmentation.scoring import draw_rows, score, score_lines

    # Before the scoring, which takes minutes.
    written = [path for path in (options.output, options.picture) if path]
    for path in written:
        refuse_existing(path, run.overwrite)
    model = load_segmenter(options.checkpoint, pick_device(run.device))
    num_classes = model.architecture["num_classes"]
    pairs = gather_pairs(folders.image_path, folders.mask_path, num_classes, folders.ignore_255)
    size = pixel_size_read(folders.pixel_size, folders.image_path)
    trained = pixel_size_of_segmenter(model)
    notify_of_other_size(folders.image_path[0], size, options.checkpoint, trained)
    if values["dry_run"]:
        files = ", ".join(map(str, written)) or "none"
        plan = f"scoring {len(pairs)} images, {num_classes} classes; files: {files}"
        print(dry_run_text(values, plan, hidden=["command"]))
        return
    for path in written:
        check_writable(path, "--output" if path == options.output else "--picture")
    result = score(
        model,
        pairs,
        num_classes,
        shuffled=options.shuffled,
        progress=True,
        pixel_side=folders.pixel_size,
    )
    print(score_lines(" ".join(map(str, folders.image_path)), result))
    if options.output:
        sources = {"checkpoint": options.checkpoint, **vars(folders)}
        write_json(options.output, result | sources)
        print(f"wrote {options.output}")
    if options.picture:
        rows = draw_rows(model, pairs[:PICTURE_ROWS], num_classes, folders.pixel_size)
        write_png(options.picture, rows)
        print(f"wrote {options.picture}")


def main(argv=None):
    args = parse_args(argv)
    read_options(ImageOptions, args).apply()
    work = {"train": train_and_save, "score": score_and_write}[args.command]
    work(**read_groups(GROUPS[args.command], args), values=vars(args))


if __name__ == "__main__":
    run_script(main)
