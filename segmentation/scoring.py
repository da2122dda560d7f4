"""Scores of a segmenter: how well its predictions agree with masks."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex
from tqdm import tqdm

from conditions.pairs import Pair
from core.files import sha256_of
from core.imaging.images import image_size, to_uint8
from core.imaging.labels import IGNORE
from segmentation.data import find_resamplings, read_input, read_target
from segmentation.network import predict, predict_turned

MAX_OTHERS = 8  # masks of other images that each prediction is compared with
GAP = 2  # white pixels below each row of a picture


def other_masks(pairs: Sequence[Pair]) -> list[list[Path]]:
    """For each pair, up to `MAX_OTHERS` masks of other pairs, of equal size and other content.

    They are evenly spread over the list. The next ones would not do: slices of a stack resemble
    their neighbours, and several images may be generated from one mask.

    Raises:
        ValueError: no pair has such a mask.
    """
    masks = [pair.condition for pair in pairs]
    sizes = [image_size(path) for path in masks]
    # Checksums instead of pixels: masks of a large set need not fit in memory.
    contents = [sha256_of(path) for path in masks]
    shifts = _even_shifts(len(pairs))
    others = []
    for i in range(len(pairs)):
        spread = [(i + shift) % len(pairs) for shift in shifts]
        fitting = [j for j in spread if sizes[i] == sizes[j] and contents[i] != contents[j]]
        others.append([masks[j] for j in fitting])
    if not any(others):
        raise ValueError(
            f"{masks[0].parent}: scores against masks of other images need at least two different "
            "masks of equal size"
        )
    return others


def _even_shifts(n: int) -> list[int]:
    """Up to `MAX_OTHERS` distances that part a circle of `n` places evenly; 0 is not among them."""
    number = min(n - 1, MAX_OTHERS)
    return [round(k * n / (number + 1)) for k in range(1, number + 1)]


def score(
    model: torch.nn.Module,
    pairs: Sequence[Pair],
    num_classes: int,
    *,
    shuffled: bool = False,
    progress: bool = False,
    pixel_side: float | None = None,
    turned: bool = False,
) -> dict:
    """Intersection over union (IoU) of predictions and masks.

    One confusion matrix is pooled over all pixels of all pairs. A class that no mask shows has no
    IoU: it is None in the list and left out of the mean. Where it is predicted, the classes that
    are there lose.

    Args:
        shuffled: compare each prediction with masks of other images too (`other_masks`): the score
            that chance reaches.
        progress: show a progress bar.
        pixel_side: in nm, to which pairs are resampled; None keeps them.
        turned: predict the mean over turns and flips, as `segmentation.prediction` does.
    Returns:
        `miou`, `iou` (one per class) and `images` (their number); with `shuffled`, `miou_shuffled`
        and `iou_shuffled` too.
    Raises:
        ValueError: `pairs` is empty, or `shuffled` finds no other mask of equal size.
    """
    if not pairs:
        raise ValueError("no image and mask to score")
    others = other_masks(pairs) if shuffled else [[]] * len(pairs)
    own, mixed = _confusion(num_classes), _confusion(num_classes)
    resamplings = find_resamplings(pairs, pixel_side)
    bar = tqdm(pairs, desc="score", unit="image", disable=not progress)
    for pair, paths in zip(bar, others, strict=True):
        resampling = resamplings[pair.image.parent]
        image = read_input(pair.image, resampling)  # (1, H, W)
        prediction = predict_turned(model, image) if turned else predict(model, image)  # (H, W)
        # One at a time: images of a set may differ in size.
        own.update(prediction, read_target(pair.condition, num_classes, resampling))
        for path in paths:
            mixed.update(prediction, read_target(path, num_classes, resampling))
    result = {**_summary(own), "images": len(pairs)}
    return result | (_summary(mixed, "_shuffled") if shuffled else {})


def _confusion(num_classes):
    """An empty confusion matrix that gives the IoU of each class."""
    # The range of labels was checked when they were read.
    return MulticlassJaccardIndex(
        num_classes,
        average="none",
        ignore_index=IGNORE,
        validate_args=False,
    )


def _summary(confusion, suffix=""):
    """`miou` and `iou` of a confusion matrix, with `suffix` behind their names."""
    shown = confusion.confmat.sum(dim=1) > 0  # (num_classes,), a row for each class of the masks
    iou = confusion.compute().where(shown, math.nan)  # (num_classes,)
    values = [None if math.isnan(x) else x for x in iou.tolist()]
    return {f"miou{suffix}": iou.nanmean().item(), f"iou{suffix}": values}


def score_lines(name: str, result: dict) -> str:
    """A line with mIoU and the IoU of each class; a second one for masks of other images."""
    lines = []
    for suffix, title in (("", ""), ("_shuffled", " against masks of other images")):
        if f"miou{suffix}" in result:
            shown = ["absent" if x is None else f"{x:.4f}" for x in result[f"iou{suffix}"]]
            classes = ", ".join(f"{i}: {iou}" for i, iou in enumerate(shown))
            miou, images = result[f"miou{suffix}"], result["images"]
            lines.append(f"{name}: mIoU {miou:.4f}{title} ({classes}; {images} images)")
    return "\n".join(lines)


def draw_rows(
    model: torch.nn.Module,
    pairs: Sequence[Pair],
    num_classes: int,
    pixel_side: float | None = None,
) -> np.ndarray:
    """A picture with a row for each pair: image, mask, prediction; uint8 (H, W).

    Class i has the grey level 255 i / (num_classes - 1). `pixel_side` is that of `score`.
    """
    rows, resamplings = [], find_resamplings(pairs, pixel_side)
    for pair in pairs:
        resampling = resamplings[pair.image.parent]
        image = read_input(pair.image, resampling)
        target = read_target(pair.condition, num_classes, resampling)
        labels = [target, predict(model, image)]  # (H, W) each
        greys = torch.cat(labels, dim=1) / (num_classes - 1)  # (H, 2 W)
        rows.append(torch.cat([image[0], greys], dim=1))  # (H, 3 W)
    width = max(row.shape[1] for row in rows)
    # Narrower rows are filled up with white on the right.
    padded = [F.pad(row, (0, width - row.shape[1], 0, GAP), value=1.0) for row in rows]
    return to_uint8(torch.cat(padded).numpy())  # (sum of heights, width)
