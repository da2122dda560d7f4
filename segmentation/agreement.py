"""Agreement of pictures with masks, as counts that processes can add up."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from conditions import Condition
from core.images import LUMA
from segmentation.network import load_segmenter, predict


def load_score(
    path: Path | None, condition: Condition
) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """A function that counts where a segmenter agrees with masks; None without a segmenter.

    The function maps pictures, uint8 (N, H, W, 3), and labels, (N, H, W), to the pixels in the
    intersection and in the union of predicted and true class, int64 (2, num_classes).

    Raises:
        FileNotFoundError, ValueError: as `load_segmenter`, the segmenter has other classes than the
            condition, or the condition has none.
    """
    if path is None:
        return None
    if not condition.carries_labels:
        raise ValueError(f"{path}: cannot judge {condition.name} conditions, which have no classes")
    model, num_classes = load_segmenter(path), condition.options.num_classes
    found = model.architecture["num_classes"]
    if found != num_classes:
        raise ValueError(f"{path}: a segmenter of {found} classes, the masks have {num_classes}")

    def score(pictures, labels):
        grey = torch.from_numpy(pictures / np.float32(255) @ LUMA)  # (N, H, W)
        predictions = np.stack([predict(model, image[None]).numpy() for image in grey])
        classes = np.arange(num_classes)[:, None, None, None]  # (C, 1, 1, 1)
        predicted, true = predictions == classes, labels == classes  # (C, N, H, W) each
        both, either = predicted & true, predicted | true
        return np.stack([both.sum(axis=(1, 2, 3)), either.sum(axis=(1, 2, 3))])  # (2, C)

    return score
