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

from conditions.pairs import Pair, notify_of_overlap
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all, plain
from core.command_line.options import (
    OptionError,
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
from core.imaging.pixel_size import PixelSize, notify_of_other_size, notify_of_unlike_folders
from core.imaging.resampling import pixel_size_option, resampling_to
from core.recording.run_lock import RunLock
from segmentation.options import SegmenterOptions
from share import run_script

PICTURE_ROWS = 6
MASKS_OF = "their masks (class indices): one folder for each, names that match"


def check_numbers(options, images: str, masks: str) -> None:
    """Raise OptionError where two fields do not name as many folders."""
    found, expected = len(getattr(options, masks)), len(getattr(options, images))
    if found != expected:
        raise OptionError(masks, f"{found} folders, --{images} names {expected}: give one for each")


@dataclass(frozen=True)
class SegmenterFolderOptions:
    """Images and masks of both commands."""

    image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of images", nargs="+", required=True
    )
    mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+", required=True)
    pixel_size: float | None = pixel_size_option("images and masks")
    ignore_255: bool = option(False, bool, help="the masks mark pixels that do not count with 255")

    def check(self):
        """Raise OptionError where folders of images and masks do not match."""
        check_numbers(self, "image_path", "mask_path")


@dataclass(frozen=True)
class SegmenterFileOptions:
    """Further files of `train`."""

    val_image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of validation images", nargs="+"
    )
    val_mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+")
    synthetic_image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of generated images, the second source of --mix", nargs="+"
    )
    synthetic_mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+")
    num_classes: int = option(3, positive_int, "INT", "masks hold 0 .. INT-1")
    output: Path = option(None, Path, "FILE", "checkpoint to write", required=True)

    def check(self):
        """Raise OptionError where folders do not match, or one class is left."""
        check_numbers(self, "val_image_path", "val_mask_path")
        check_numbers(self, "synthetic_image_path", "synthetic_mask_path")
        if self.num_classes < 2:
            raise OptionError("num_classes", f"{self.num_classes}, expected at least 2")


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


def pixel_size_read(side: float | None, folders: Sequence[Path]) -> PixelSize | None:
    """The pixel size at which pairs are read; None where it is unknown.

    Args:
        side: value of --pixel_size.
        folders: of all images.
    Raises:
        ValueError: the images are to be resampled, and the pixel size of a folder is unknown.
    """
    if side is None:
        return notify_of_unlike_folders(folders)
    with option_names():
        for folder in folders:
            resampling_to(folder, side)
    return PixelSize(side, side)


def gather_all_pairs(
    folders: SegmenterFolderOptions, files: SegmenterFileOptions
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs for training, for validation, and generated ones; raises as `gather_pairs`."""
    from segmentation.data import gather_pairs  # here, because it loads torch

    pairs, val_pairs, synthetic = (
        gather_pairs(images, masks, files.num_classes, allow_ignore)
        for images, masks, allow_ignore in (
            (folders.image_path, folders.mask_path, folders.ignore_255),
            (files.val_image_path, files.val_mask_path, folders.ignore_255),
            # A generation marks doubtful pixels so.
            (files.synthetic_image_path, files.synthetic_mask_path, True),
        )
    )
    notify_of_overlap([*pairs, *synthetic], val_pairs)
    return pairs, val_pairs, synthetic


def train_and_save(args: argparse.Namespace) -> None:
    """Check, train, score the validation images, save."""
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.network import save_segmenter
    from segmentation.scoring import score, score_lines
    from segmentation.training import train_segmenter

    folders, files = (
        read_options(SegmenterFolderOptions, args),
        read_options(SegmenterFileOptions, args),
    )
    options, run = read_options(SegmenterOptions, args), read_options(SegmenterRunOptions, args)
    refuse_existing(files.output, run.overwrite)
    device = pick_device(run.device)
    pairs, val_pairs, synthetic = gather_all_pairs(folders, files)
    pixel_size = pixel_size_read(
        folders.pixel_size,
        [*folders.image_path, *files.val_image_path, *files.synthetic_image_path],
    )
    # Without --max_steps the last epoch may end in a part: batches are always full.
    images = len(pairs) + len(synthetic)
    steps = args.max_steps or math.ceil(args.epochs * images / options.batch_size)
    with option_names():
        options.check_sources({"real": len(pairs), "synthetic": len(synthetic)}, steps)
    beside = f" and {len(synthetic)} generated ones" if synthetic else ""
    plan = (
        f"training on {len(pairs)} images{beside}, validating on {len(val_pairs)}: "
        f"{steps} steps of {options.batch_size} crops on {device}"
    )
    if args.dry_run:
        plan += f"\ncheckpoint: {files.output}"
        print(dry_run_text(vars(args), plan, hidden=["command"]))
        return
    print(plan)
    files.output.parent.mkdir(parents=True, exist_ok=True)
    with closing(RunLock.of_file(files.output, "training a segmenter")) as lock:
        lock.acquire()
        refuse_existing(files.output, run.overwrite)  # the last holder may have written it
        model = train_segmenter(
            pairs,
            val_pairs,
            files.num_classes,
            steps,
            options,
            device,
            True,
            synthetic,
            folders.pixel_size,
        )
        # Texts and numbers alone: a checkpoint must load without running code.
        meta = {"options": {name: plain(value) for name, value in vars(args).items()}}
        meta["pixel_size_nm"] = pixel_size and list(pixel_size)
        if val_pairs:
            meta["val"] = score(model, val_pairs, files.num_classes, pixel_side=folders.pixel_size)
            meta["val_curve"] = [list(point) for point in model.curve]  # (step, mIoU)
            print(score_lines("validation", meta["val"]))
        save_segmenter(files.output, model, meta, run.overwrite)
    print(f"saved {files.output}")


def score_and_write(args: argparse.Namespace) -> None:
    """Check, score, write the files that were asked for."""
    from segmentation.data import gather_pairs  # here, as above
    from segmentation.network import load_segmenter, pixel_size_of_segmenter
    from segmentation.scoring import draw_rows, score, score_lines

    folders, options = (
        read_options(SegmenterFolderOptions, args),
        read_options(SegmenterScoreOptions, args),
    )
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
