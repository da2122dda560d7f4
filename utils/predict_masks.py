r"""Segment images: write the masks that trained segmenters predict for them.

    python utils/predict_masks.py segmenter.ckpt images predicted
    python utils/predict_masks.py a.ckpt b.ckpt c.ckpt images predicted --copy_images

This writes `predicted/masks/<stem>.png` with class indices, and `predicted/overview.png`. Each mask
follows from the mean over all eight turns and flips of its image, and over the segmenters: several
that differ in their seeds err less than one. Predictions are layouts too: `generate.py --mask_dir
predicted/masks` draws pairs of images that nobody has labelled, see docs/study.md.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, fraction, new_parser, option, read_options
from core.files import refuse_existing, whole_folder, write_json
from core.hardware.device_options import check_device, device_option, pick_device
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import IGNORE, image_size, list_images, read_image, read_labels, write_png
from core.imaging.pairing import in_natural_order, stem_of
from core.imaging.pictures import class_colours, evenly, scale_longer_side, tile
from core.imaging.pixel_size import VOLUME, notify_of_other_size, pixel_size_of_folder
from share import run_script

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import torch

OVERVIEW_ROWS = 6
OVERVIEW_SIDE = 256  # pixels


@dataclass(frozen=True)
class PredictionOptions:
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
    device: str = device_option()

    def check(self):
        """Raise OptionError for a device that is not there."""
        check_device(self.device)


def parse_args(argv=None) -> argparse.Namespace:
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


def mask_name(image: Path) -> str:
    """Name of the mask of an image."""
    return f"{stem_of(image)}.png"


def find_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order; each becomes a mask that bears its stem.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        ValueError: two images have one stem, or an image is damaged.
    """
    images = in_natural_order(list_images(folder))
    named = {}
    for path in images:
        image_size(path)
        other = named.setdefault(mask_name(path), path)
        if other is not path:
            raise ValueError(f"{path}: its mask would bear the name of that of {other.name}")
    return images


def load_segmenters(
    paths: Sequence[Path], device: torch.device, image_path: Path
) -> list[torch.nn.Module]:
    """Segmenters of the same classes; says where the pixels of the images have another size.

    Raises:
        ValueError: they have different numbers of classes, or as `load_segmenter`.
    """
    # Here, because it loads torch, which takes longer than reading the options.
    from segmentation.network import load_segmenter, pixel_size_of_segmenter

    models = [load_segmenter(path, device) for path in paths]
    size = pixel_size_of_folder(image_path)
    for path, model in zip(paths, models, strict=True):
        classes, expected = (m.architecture["num_classes"] for m in (model, models[0]))
        if classes != expected:
            raise ValueError(f"{path}: {classes} classes, but {paths[0]} has {expected}")
        notify_of_other_size(image_path, size, path, pixel_size_of_segmenter(model))
    return models


def predict_mask(
    models: Sequence[torch.nn.Module], path: Path, min_confidence: float | None
) -> np.ndarray:
    """Class indices or IGNORE of an image file, uint8 (H, W); the mean over the models decides."""
    from segmentation.data import read_input  # here, as above
    from segmentation.network import predict_probabilities

    image = read_input(path)  # (1, H, W)
    probabilities = sum(predict_probabilities(model, image) for model in models) / len(models)
    confidence, labels = probabilities.max(dim=0)  # (H, W) each
    if min_confidence is not None:
        labels[confidence < min_confidence] = IGNORE
    return labels.numpy().astype(np.uint8)


def draw_overview(images: Sequence[Path], masks: Path) -> np.ndarray:
    """Some images with their masks on their right, ignored pixels in white; uint8 (H, W, 3)."""
    shown, rows = evenly(images, OVERVIEW_ROWS), []
    for path in shown:
        labels = read_labels(masks / mask_name(path))
        colours = np.where(labels[..., None] == IGNORE, 1, class_colours(labels))
        rows.append([scale_longer_side(x, OVERVIEW_SIDE) for x in (read_image(path), colours)])
    return tile(rows, titles=[path.name for path in shown])


def write_masks(
    models: Sequence[torch.nn.Module],
    images: Sequence[Path],
    folder: Path,
    options: PredictionOptions,
) -> float:
    """Write masks, overview and copies of images into `folder`; the share of ignored pixels."""
    size = pixel_size_of_folder(images[0].parent)
    parts = ["masks", "images"] if options.copy_images else ["masks"]
    for part in parts:
        (folder / part).mkdir()
        if size:
            write_json(folder / part / VOLUME, {"pixel_size_nm": list(size)})
    ignored = []
    for path in tqdm(images, desc="predict masks", unit="image"):
        labels = predict_mask(models, path, options.min_confidence)
        write_png(folder / "masks" / mask_name(path), labels)
        ignored.append((labels == IGNORE).mean())
        if options.copy_images:
            shutil.copy2(path, folder / "images" / path.name)
    write_png(folder / "overview.png", draw_overview(images, folder / "masks"))
    return np.mean(ignored)


def main(argv=None):
    args = parse_args(argv)
    use_image_options(args)
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
        ignored = write_masks(models, images, folder, options)
    print(f"{args.output}: {len(images)} masks, {ignored:.1%} of their pixels ignored")


if __name__ == "__main__":
    run_script(main)
