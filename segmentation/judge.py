"""A judge of generated pairs: a segmenter trained on real ones.

It decides as FreeMask (Yang et al. 2023) does, and tells a training how it gets on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from conditions import Condition
from conditions.pairs import Pair
from core.checks import bar_for_many
from core.imaging.images import LUMA
from segmentation.data import read_input, read_target
from segmentation.network import load_segmenter, predict, predict_logits


class Judge:
    """Tell how far pictures agree with masks, and which pixels of a mask to ignore.

    Args:
        path: segmenter that `save_segmenter` wrote.
        num_classes: of the masks.
    Raises:
        FileNotFoundError, ValueError: as `load_segmenter`, or the segmenter has other classes.
    """

    def __init__(self, path: Path, num_classes: int):
        self.model, self.num_classes = load_segmenter(path), num_classes
        found = self.model.architecture["num_classes"]
        if found != num_classes:
            raise ValueError(
                f"{path}: a segmenter of {found} classes, the masks have {num_classes}"
            )

    def counts(self, picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Pixels in the intersection and in the union of predicted and true class, int64 (2, C).

        Args:
            picture: uint8 (H, W, 3).
            labels: class indices (H, W).
        """
        classes = np.arange(self.num_classes)[:, None, None]  # (C, 1, 1)
        predicted = predict(self.model, _grey(picture)).numpy() == classes  # (C, H, W)
        true = labels == classes  # (C, H, W)
        both, either = predicted & true, predicted | true
        return np.stack([both.sum(axis=(1, 2)), either.sum(axis=(1, 2))])

    def agreement(self, picture: np.ndarray, labels: np.ndarray) -> float:
        """Mean IoU over the classes of the mask; arguments as in `counts`."""
        intersection, union = self.counts(picture, labels)[:, np.unique(labels)]
        return float((intersection / union).mean())

    def losses(self, image: torch.Tensor, labels: np.ndarray) -> np.ndarray:
        """Cross-entropy of each pixel, float32 (H, W).

        Args:
            image: (1, H, W) in [0, 1].
            labels: class indices (H, W).
        """
        logits = predict_logits(self.model, image)  # (C, H, W)
        target = torch.from_numpy(labels).long()
        return F.cross_entropy(logits[None], target[None], reduction="none")[0].numpy()

    def class_losses(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Mean cross-entropy of each class on real pairs, (C,); infinite for one that is nowhere.

        Above an infinite mean no pixel lies, so none of such a class is ever ignored.
        """
        sums, counts = np.zeros(self.num_classes), np.zeros(self.num_classes)
        for pair in bar_for_many(pairs, desc="judge real pairs"):
            labels = read_target(pair.condition, self.num_classes).numpy()
            losses = self.losses(read_input(pair.image), labels)
            sums += np.bincount(labels.ravel(), losses.ravel(), self.num_classes)
            counts += np.bincount(labels.ravel(), minlength=self.num_classes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, sums / counts, np.inf)

    def hardness(self, labels: np.ndarray, class_losses: np.ndarray) -> float:
        """Mean over the pixels of what their class costs on real pairs.

        A class that is on no real pair counts as much as the hardest one.

        Args:
            labels: class indices (H, W).
            class_losses: as `class_losses` gives them.
        """
        known = class_losses[np.isfinite(class_losses)]
        counts = np.bincount(labels.ravel(), minlength=self.num_classes)
        return float(counts @ np.minimum(class_losses, known.max()) / labels.size)

    def doubtful(
        self, picture: np.ndarray, labels: np.ndarray, class_losses: np.ndarray, ratio: float
    ) -> np.ndarray:
        """Pixels whose cross-entropy exceeds `ratio` times the mean of their class, bool (H, W).

        Args:
            picture: uint8 (H, W, 3).
            labels: class indices (H, W).
            class_losses: as `class_losses` gives them.
        """
        return self.losses(_grey(picture), labels) > ratio * class_losses[labels]


def judge_of(path: Path | None, condition: Condition) -> Judge | None:
    """The judge of pictures of a condition; None without a segmenter.

    Raises:
        FileNotFoundError, ValueError: as `Judge`, or the condition has no classes to judge by.
    """
    if path is None:
        return None
    if not condition.carries_labels:
        raise ValueError(f"{path}: cannot judge {condition.name} conditions, which have no classes")
    return Judge(path, condition.options.num_classes)


def _grey(picture: np.ndarray) -> torch.Tensor:
    """A picture as the segmenter takes it, float32 (1, H, W) in [0, 1]."""
    return torch.from_numpy(picture / np.float32(255) @ LUMA)[None]
