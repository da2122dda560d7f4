"""Masks: every pixel belongs to one class, and each class is one channel of the hint."""

from pathlib import Path

import numpy as np

from conditions.base import Condition, ConditionOptions, Layers
from core.imaging.image_files import read_header
from core.imaging.image_header import Header
from core.imaging.images import to_uint8
from core.imaging.labels import IGNORE, LIKELY_CLASSES, NO_JPEG, read_labels
from core.imaging.pictures import class_colours

SHOWN = 5  # labels that an error message lists
IGNORE_LABELS = (255, 65535, -1)  # of data sets for other programs


def read_mask(path: str | Path, num_classes: int, allow_ignore: bool = False) -> np.ndarray:
    """Class indices 0..num_classes-1 as int64 (H, W).

    Args:
        allow_ignore: take IGNORE for pixels that do not count. Not for masks that users give: where
            0 and 255 stand for two classes, the second would be ignored without a word.
    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, or a value that is no class index; the message says what to do.
    """
    labels = read_labels(path)
    classes = labels[labels != IGNORE] if allow_ignore else labels
    # The usual case first: `unique` below sorts all pixels.
    if not classes.size or (classes.min() >= 0 and classes.max() < num_classes):
        return labels
    found = np.unique(classes).tolist()
    wrong = [label for label in found if not 0 <= label < num_classes]
    values = ", ".join(map(str, wrong[:SHOWN])) + (", ..." if len(wrong) > SHOWN else "")
    raise ValueError(
        f"{path}: found value(s) {values}, expected 0..{num_classes - 1} "
        f"({num_classes} classes). {_remedy(path, found, num_classes)}"
    )


def _remedy(path: str | Path, found: list[int], num_classes: int) -> str:
    """Advice for a mask that holds these values, sorted. None is better than wrong advice."""
    header = read_header(Path(path))
    if header.lossy:
        return f"The file is compressed as JPEG. {NO_JPEG}, from the originals."
    many = max(LIKELY_CLASSES, 2 * num_classes)
    few = [value for value in found if 0 <= value < many]
    others = [value for value in found if value not in few]
    if not others:
        return (
            f"If the data have {found[-1] + 1} classes, state that number; "
            "otherwise correct the mask."
        )
    if len(found) > many:
        return (
            "That many values are a picture, or a mask that was once stored with loss (JPEG): "
            "save class indices as PNG or TIFF."
        )
    as_indices = "Save one whole number per class: 0, 1, 2 and so on"
    if header.min_is_white:
        return f"0 is white in this file. {as_indices}, in a file where 0 is black."
    if not _same_in_all_readers(header):
        return f"{as_indices}, in a grey file."
    has_indices = any(few)  # beside 0, which may be a grey level
    if has_indices and len(others) == 1 and others[0] in IGNORE_LABELS:
        return _ignore_remedy(others[0], max(few[-1] + 1, num_classes), num_classes)
    levels = None if has_indices else _grey_levels(found, num_classes)
    if levels is None:
        return f"These are neither class indices nor {num_classes} grey levels. {as_indices}."
    return (
        "Convert grey levels to class indices, "
        f"for example mask = numpy.searchsorted({levels}, mask)."
    )


def _same_in_all_readers(header: Header) -> bool:
    """Tell whether `mask` in an advised line of code holds the numbers that `read_labels` found.

    Other readers ignore orientations, look colours up in tables, or halve 16-bit colours.
    """
    plain = header.colours == "grey" and header.samples == 1
    return header.orientation == 1 and (plain or (header.colours == "RGB" and header.bits == 8))


def _ignore_remedy(ignore: int, used: int, num_classes: int) -> str:
    """Advice for a mask of classes 0..`used`-1 and one label that data sets use for "ignore"."""
    more = f" and state {used} classes" if used > num_classes else ""
    stored = "" if ignore == IGNORE else f"stored as {IGNORE}, "
    return (
        f"{ignore} looks like an ignore label, which is no class here; {stored}--ignore_255, where "
        "a program has it, leaves those pixels out. Otherwise give them a class, "
        f"for example mask[mask == {ignore}] = 0{more}; to make them a class of their own, "
        f"mask[mask == {ignore}] = {used}, which makes {used + 1} classes."
    )


def _grey_levels(found: list[int], num_classes: int) -> list[int] | None:
    """The grey level of each class in a mask that holds the values `found`, None if unclear."""
    if len(found) == num_classes:
        return found
    # Grey levels as people choose them: 0, 127, 255 for three classes.
    even = np.linspace(0, 255, num_classes)
    for levels in (even.astype(int).tolist(), np.ceil(even).astype(int).tolist()):
        if set(found) <= set(levels):  # searchsorted would move any other value to the next level
            return levels
    return None


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices (H, W) as planes of 0 and 1, float32 (H, W, num_classes)."""
    return (labels[..., None] == np.arange(num_classes)).astype(np.float32)


class Segmentation(Condition):
    """Masks of class indices.

    Args:
        allow_ignore: see `read_mask`; for labels that a network learns, never for hints.
    """

    name = "segmentation"
    folder_option = "mask_path"
    carries_labels = True
    reads_options = ("num_classes",)

    def __init__(self, options: ConditionOptions = ConditionOptions(), allow_ignore: bool = False):
        super().__init__(options)
        self.allow_ignore = allow_ignore

    @property
    def hint_channels(self):
        """One channel for each class, the background included."""
        return self.options.num_classes

    def read(self, path):
        """Class indices as the layer of classes, (H, W, 1), and no smooth layer."""
        # indices, not planes: one-hot after the view has cut its part is faster
        labels = read_mask(path, self.options.num_classes, self.allow_ignore)
        labels = labels[..., None].astype(np.float32)  # (H, W, 1)
        return Layers(labels[..., :0], labels)

    def to_hint(self, layers):
        """Planes of 0 and 1, (H, W, num_classes)."""
        return one_hot(layers.classes[..., 0], self.options.num_classes)

    def counted_labels(self, layers):
        """Class indices of the pixels that are not marked with IGNORE, (N,)."""
        labels = layers.classes.astype(np.int64)  # (H, W, 1)
        return labels[labels != IGNORE] if self.allow_ignore else labels.ravel()

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
