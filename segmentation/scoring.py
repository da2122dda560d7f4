"""Scores of a segmenter: intersection over union of its predictions and masks."""

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex
from tqdm import tqdm

from conditions.segmentation import read_mask
from core.images import image_size
from dataset import Pair
from segmentation.data import read_input
from segmentation.network import predict

MAX_OTHERS = 8  # masks of other images that each image is compared with by `--shuffled`


def other_masks(pairs: list[Pair]) -> list[list[Path]]:
    """For each pair up to `MAX_OTHERS` masks of other pairs, evenly spread over the list, of equal size and other content.

    Not simply the next one: slices of a stack resemble their neighbours, and several images may be generated from one mask.

    Raises:
        ValueError: there is no such mask for any pair.
    """
    kinds = [
        (image_size(p.condition), hashlib.sha256(p.condition.read_bytes()).digest()) for p in pairs
    ]
    n = len(pairs)
    number = min(n - 1, MAX_OTHERS)
    shifts = [round(k * n / (number + 1)) for k in range(1, number + 1)]
    others = []
    for i in range(n):
        candidates = [(i + shift) % n for shift in shifts]
        others.append(
            [
                pairs[j].condition
                for j in candidates
                if kinds[i][0] == kinds[j][0] and kinds[i][1] != kinds[j][1]
            ]
        )
    if not any(others):
        raise ValueError(
            f"{pairs[0].condition.parent}: --shuffled needs at least two different masks of equal size"
        )
    return others


def score(
    model: torch.nn.Module,
    pairs: list[Pair],
    num_classes: int,
    shuffled: bool = False,
    progress: bool = False,
) -> dict:
    """Intersection over union of predictions and masks, from one confusion matrix pooled over all pixels of all pairs.

    A class that occurs in no mask and no prediction has no IoU: it is None in the list and left out of the mean.

    Args:
        shuffled: also compare each prediction with masks of other images (`other_masks`): the level that chance reaches.
    Returns:
        `miou`, `iou` (one per class) and `images` (their number); with `shuffled`, `miou_shuffled` and `iou_shuffled`.
    Raises:
        ValueError: `pairs` is empty, or `shuffled` finds no other mask of equal size.
    """
    if not pairs:
        raise ValueError("no image and mask to score")
    others = other_masks(pairs) if shuffled else [[]] * len(pairs)
    matched, mixed = (
        MulticlassJaccardIndex(
            num_classes, average="none", zero_division=math.nan, validate_args=False
        )
        for _ in range(2)
    )
    for pair, other in zip(
        tqdm(pairs, desc="score", unit="image", disable=not progress), others, strict=True
    ):
        prediction = predict(model, read_input(pair.image))
        matched.update(prediction, torch.from_numpy(read_mask(pair.condition, num_classes)))
        for path in other:
            mixed.update(prediction, torch.from_numpy(read_mask(path, num_classes)))

    def summary(metric, suffix):
        iou = metric.compute()
        return {
            f"miou{suffix}": iou.nanmean().item(),
            f"iou{suffix}": [None if math.isnan(x) else x for x in iou.tolist()],
        }

    return {
        **summary(matched, ""),
        "images": len(pairs),
        **(summary(mixed, "_shuffled") if shuffled else {}),
    }


def draw_rows(model: torch.nn.Module, pairs: list[Pair], num_classes: int) -> np.ndarray:
    """Image | mask | prediction of each pair as uint8 (H, W), one row each; class i is the grey level 255 i / (classes - 1)."""
    rows = []
    for pair in pairs:
        image = read_input(pair.image)
        labels = torch.cat(
            [torch.from_numpy(read_mask(pair.condition, num_classes)), predict(model, image)], dim=1
        )
        rows.append(torch.cat([image[0], labels / (num_classes - 1)], dim=1))
    width = max(row.shape[1] for row in rows)
    picture = torch.cat([F.pad(row, (0, width - row.shape[1], 0, 2), value=1.0) for row in rows])
    return (picture * 255).round().to(torch.uint8).numpy()
