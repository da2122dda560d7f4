"""Masks of images that segmenters predict together."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from conditions.pairs import notify_of_ignored
from core.files import write_json
from core.imaging.images import image_size, list_images, read_image, write_png
from core.imaging.known_sizes import VOLUME, notify_of_other_size, pixel_size_of_folder
from core.imaging.labels import IGNORE, read_labels
from core.imaging.pairing import IMAGES, MASKS, in_natural_order, stem_of
from core.imaging.pictures import OVERVIEW, class_colours, evenly, scale_longer_side, tile
from core.notices import notify
from segmentation.data import read_input
from segmentation.network import (
    load_segmenter,
    pixel_size_of_segmenter,
    predict_probabilities,
)
from segmentation.options import SIZE_MULTIPLE

OVERVIEW_ROWS = 6
OVERVIEW_SIDE = 256  # pixels


def mask_name(image: Path) -> str:
    """Name of the mask of an image."""
    return f"{stem_of(image)}.png"


def find_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order; each becomes a mask that bears its stem.

    Warns of images that are smaller than the least that a segmenter takes.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        RuntimeError: two images share a stem.
        ValueError: an image is damaged.
    """
    images = in_natural_order(list_images(folder))
    sizes = {path: image_size(path) for path in images}
    if small := [path for path, size in sizes.items() if min(size) < SIZE_MULTIPLE]:
        height, width = sizes[small[0]]
        notify(
            f"{small[0]}: {width} x {height} pixels (width x height), one of {len(small)} images "
            f"with a side below {SIZE_MULTIPLE}. A segmenter sees them beside their mirror images, "
            "and too little around them. Give larger images"
        )
    return images


def load_segmenters(
    paths: Sequence[Path], device: torch.device, image_path: Path
) -> list[torch.nn.Module]:
    """Segmenters of the same classes; says where the pixels of the images have another size.

    Raises:
        ValueError: they have different numbers of classes, or as `load_segmenter`.
    """
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
        pictures = read_image(path), class_colours(labels)
        rows.append([scale_longer_side(x, OVERVIEW_SIDE) for x in pictures])
    return tile(rows, titles=[path.name for path in shown])


def write_masks(
    models: Sequence[torch.nn.Module],
    images: Sequence[Path],
    folder: Path,
    min_confidence: float | None = None,
    copy_images: bool = False,
) -> float:
    """Write masks and an overview into a folder; returns the mean share of ignored pixels.

    Warns of masks whose pixels are all ignored.

    Args:
        models: as `load_segmenters` returns them.
        folder: gets `masks/`, `overview.png` and, where `copy_images` asks for it, `images/`.
        min_confidence: probability below which a pixel is ignored; None ignores none.
    """
    size = pixel_size_of_folder(images[0].parent)
    parts = [MASKS, IMAGES] if copy_images else [MASKS]
    for part in parts:
        (folder / part).mkdir()
        if size:
            write_json(folder / part / VOLUME, {"pixel_size_nm": list(size)})
    ignored = []  # share of ignored pixels of each mask
    for path in tqdm(images, desc="predict masks", unit="image"):
        labels = predict_mask(models, path, min_confidence)
        write_png(folder / MASKS / mask_name(path), labels)
        ignored.append((labels == IGNORE).mean())
        if copy_images:
            shutil.copy2(path, folder / IMAGES / path.name)
    write_png(folder / OVERVIEW, draw_overview(images, folder / MASKS))
    wholly = [path for path, share in zip(images, ignored, strict=True) if share == 1]
    notify_of_ignored([folder / MASKS / mask_name(path) for path in wholly], len(images))
    return np.mean(ignored)
