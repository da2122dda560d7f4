"""A judge of generated pairs: a segmenter trained on real ones (FreeMask, Yang et al. 2023)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from conditions.pairs import Pair
from conditions.segmentation import IGNORE
from core.checks import bar_for_many
from core.images import LUMA
from segmentation.data import read_input, read_target
from segmentation.network import load_segmenter, predict_logits


class Judge:
    """Tells how far pictures agree with masks, and which pixels of a mask to ignore.

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

    def agreement(self, picture: np.ndarray, labels: np.ndarray) -> float:
        """Mean IoU over the classes of the mask.

        Args:
            picture: uint8 (H, W, 3).
            labels: class indices (H, W).
        """
        predicted = predict_logits(self.model, _grey(picture)).argmax(dim=0).numpy()  # (H, W)
        scores = []
        for label in np.unique(labels):
            own, found = labels == label, predicted == label
            scores.append((own & found).sum() / (own | found).sum())
        return float(np.mean(scores))

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
            counted = labels != IGNORE
            sums += np.bincount(labels[counted], losses[counted], self.num_classes)
            counts += np.bincount(labels[counted], minlength=self.num_classes)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, sums / counts, np.inf)

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


def _grey(picture: np.ndarray) -> torch.Tensor:
    """A picture as the segmenter takes it, float32 (1, H, W) in [0, 1]."""
    return torch.from_numpy(picture / np.float32(255) @ LUMA)[None]
