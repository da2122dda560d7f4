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
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from conditions.pairs import Pair
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all, plain
from core.command_line.options import (
    add_options,
    new_parser,
    option,
    option_names,
    positive_int,
    read_options,
)
from core.files import check_writable, refuse_existing, write_json
from core.hardware.device_options import check_device, device_option, pick_device
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import write_png
from core.imaging.pixel_size import notify_of_other_size
from core.recording.run_lock import RunLock
from segmentation.folders import (
    SegmenterFileOptions,
    SegmenterFolderOptions,
    gather_training_pairs,
    pixel_size_read,
)
from segmentation.options import SegmenterOptions
from share import run_script

PICTURE_ROWS = 6


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
        check_device(self.device)


def train_parser() -> argparse.ArgumentParser:
    """The parser of the command `train`."""
    parser = new_parser("Train a segmenter and save it.", prog=f"{Path(__file__).name} train")
    add_options(parser, SegmenterFolderOptions, "training pairs")
    add_options(parser, SegmenterFileOptions, "other data")
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
    add_options(parser, SegmenterOptions, "training")
    return parser


def score_parser() -> argparse.ArgumentParser:
    """The parser of the command `score`."""
    doc = "Score folders of images and masks with a saved segmenter."
    parser = new_parser(doc, prog=f"{Path(__file__).name} score")
    add_options(parser, SegmenterFolderOptions, "pairs")
    add_options(parser, SegmenterScoreOptions, "scoring")
    return parser


def parse_args(argv=None):
    """The options of the chosen command, and the command itself as `command`."""
    commands = {"train": train_parser, "score": score_parser}
    parser = new_parser(__doc__, epilog="Each command lists its options: train --help")
    parser.add_argument("command", choices=commands, help="what to do")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the command")
    chosen = parser.parse_args(argv)
    parser = commands[chosen.command]()
    add_options(parser, SegmenterRunOptions, "run")
    add_image_options(parser)
    add_run_control(parser)
    args = parse_all(parser, chosen.options)
    args.command = chosen.command
    return args


def validation_notes(
    model, pairs: Sequence[Pair], num_classes: int, pixel_side: float | None
) -> dict:
    """Score the validation pairs and print the score; notes of it for the checkpoint.

    Without pairs there is nothing to print and to note.
    """
    from segmentation.scoring import score, score_lines  # here, as in `train_and_save`

    if not pairs:
        return {}
    scored = score(model, pairs, num_classes, pixel_side=pixel_side)
    print(score_lines("validation", scored))
    return {"val": scored, "val_curve": [list(point) for point in model.curve]}  # (step, mIoU)


def train_and_save(args: argparse.Namespace) -> None:
    """Check, train, score the validation images, save."""
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.network import save_segmenter
    from segmentation.training import train_segmenter

    folders = read_options(SegmenterFolderOptions, args)
    files = read_options(SegmenterFileOptions, args)
    options, run = read_options(SegmenterOptions, args), read_options(SegmenterRunOptions, args)
    refuse_existing(files.output, run.overwrite)
    device = pick_device(run.device)
    pairs = gather_training_pairs(folders, files)
    pixel_size = pixel_size_read(
        folders.pixel_size,
        [*folders.image_path, *files.val_image_path, *files.synthetic_image_path],
    )
    # Without --max_steps the last epoch may end in a part: batches are always full.
    images = sum(pairs.numbers.values())
    steps = args.max_steps or math.ceil(args.epochs * images / options.batch_size)
    with option_names():
        options.check_sources(pairs.numbers, steps)
    plan = f"{pairs.describe()}: {steps} steps of {options.batch_size} crops on {device}"
    if args.dry_run:
        plan += f"\ncheckpoint: {files.output}"
        print(dry_run_text(vars(args), plan, hidden=["command"]))
        return
    print(plan)
    files.output.parent.mkdir(parents=True, exist_ok=True)
    with closing(RunLock.of_file(files.output, "training a segmenter")) as lock:
        lock.acquire()
        refuse_existing(files.output, run.overwrite)  # the last holder may have written it
        side = folders.pixel_size
        model = train_segmenter(
            pairs.real,
            pairs.validation,
            files.num_classes,
            steps,
            options,
            device,
            progress=True,
            synthetic=pairs.synthetic,
            pixel_side=side,
        )
        # Texts and numbers alone: a checkpoint must load without running code.
        meta = {"options": plain(vars(args)), "pixel_size_nm": pixel_size and list(pixel_size)}
        meta |= validation_notes(model, pairs.validation, files.num_classes, side)
        save_segmenter(files.output, model, meta, run.overwrite)
    print(f"saved {files.output}")


def score_and_write(args: argparse.Namespace) -> None:
    """Check, score, write the files that were asked for."""
    from segmentation.data import gather_pairs  # here, as above
    from segmentation.network import load_segmenter, pixel_size_of_segmenter
    from segmentation.scoring import draw_rows, score, score_lines

    folders = read_options(SegmenterFolderOptions, args)
    options = read_options(SegmenterScoreOptions, args)
    run = read_options(SegmenterRunOptions, args)
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
    if args.dry_run:
        files = ", ".join(map(str, written)) or "none"
        plan = f"scoring {len(pairs)} images, {num_classes} classes; files: {files}"
        print(dry_run_text(vars(args), plan, hidden=["command"]))
        return
    for path in written:
        check_writable(path, "--output" if path == options.output else "--picture")
    result = score(model, pairs, num_classes, options.shuffled, True, folders.pixel_size)
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
    use_image_options(args)
    train_and_save(args) if args.command == "train" else score_and_write(args)


if __name__ == "__main__":
    run_script(main)
