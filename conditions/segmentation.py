"""Masks: every pixel belongs to one class, and each class is one channel of the hint."""

from pathlib import Path

import numpy as np

from conditions.base import Condition, Layers
from core.images import read_labels, to_uint8
from core.pictures import class_colours

LISTED = 5  # labels that an error message lists
MANY_VALUES = 32  # more values than this are a picture's grey levels, not classes


def read_mask(path: str | Path, num_classes: int) -> np.ndarray:
    """Class indices 0..num_classes-1 as int64 (H, W).

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, or a value that is no class index; the message says what to do.
    """
    labels = read_labels(path)
    # The usual case first: `unique` below sorts all pixels.
    if labels.min() >= 0 and labels.max() < num_classes:
        return labels
    found = np.unique(labels).tolist()
    wrong = [label for label in found if not 0 <= label < num_classes]
    values = ", ".join(map(str, wrong[:LISTED])) + (", ..." if len(wrong) > LISTED else "")
    raise ValueError(
        f"{path}: found value(s) {values}, expected 0..{num_classes - 1} "
        f"(--num_classes {num_classes}). {_remedy(found, num_classes)}"
    )


def _remedy(found: list[int], num_classes: int) -> str:
    """Advice for a mask that holds these values, sorted."""
    if 0 <= found[0] and found[-1] < MANY_VALUES:
        return (
            f"If the data have more classes, pass --num_classes {found[-1] + 1}; "
            "otherwise correct the mask."
        )
    if len(found) > MANY_VALUES:
        return (
            "That many values are a picture, or a mask stored with loss (JPEG): "
            "save class indices as PNG or TIFF."
        )
    # Grey levels as people choose them: 0, 127, 255 for three classes.
    evenly = np.linspace(0, 255, num_classes).astype(int).tolist()
    levels = found if len(found) == num_classes else evenly
    return (
        "Convert grey levels to class indices, "
        f"for example mask = numpy.searchsorted({levels}, mask)."
    )


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices (H, W) as planes of 0 and 1, float32 (H, W, num_classes)."""
    return (labels[..., None] == np.arange(num_classes)).astype(np.float32)


class Segmentation(Condition):
    """Masks of class indices."""

    name = "segmentation"
    folder_option = "mask_path"
    carries_labels = True

    @property
    def hint_channels(self):
        """One channel for each class, the background included."""
        return self.options.num_classes

    def read(self, path):
        """Class indices as the layer of classes, (H, W, 1), and no smooth layer."""
        # indices, not planes: one-hot after the view has cut its part is faster
        labels = read_mask(path, self.options.num_classes)[..., None].astype(np.float32)
        return Layers(labels[..., :0], labels)

    def to_hint(self, layers):
        """Planes of 0 and 1, (H, W, num_classes)."""
        return one_hot(layers.classes[..., 0], self.options.num_classes)

    def labels(self, hint):
        """Class of each pixel, uint8 (H, W)."""
        return hint.argmax(axis=2).astype(np.uint8)

    def pictures(self, branch, hint):
        """Class indices, uint8 (H, W): almost black, but readable as masks."""
        return {branch: self.labels(hint)}

    def preview(self, hint):
        """Class colours, uint8 (H, W, 3)."""
        if hint.shape[2] == 3:  # as the published code shows it: class planes are R, G and B
            return to_uint8(hint)
        return to_uint8(class_colours(self.labels(hint)))
