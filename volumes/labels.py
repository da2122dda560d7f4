"""Label volumes as masks of class indices."""

import argparse
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from core.command_line.options import OptionError, option, positive_int
from core.imaging.labels import IGNORE, LIKELY_CLASSES

INSIDE, MEMBRANE = 0, 1  # classes of masks that are drawn from bodies


def label_pair(text: str) -> str:
    """A stored label and its class, `127=1`."""
    if not re.fullmatch(r"-?\d+=\d+", text) or int(text.partition("=")[2]) > IGNORE:
        raise argparse.ArgumentTypeError(f"{text!r} is no label and class (0 to 255) like 127=1")
    return text


@dataclass(frozen=True)
class LabelOptions:
    """Meaning of the labels."""

    map: tuple[str, ...] = option(
        (), label_pair, "LABEL=CLASS", "class of each stored label: 0=0 127=1 255=2", nargs="+"
    )
    instances: int | None = option(
        None,
        positive_int,
        "PIXELS",
        "labels number bodies: write membranes, borders between bodies of this width (1), and "
        "what is inside (0)",
    )
    zero_is: str = option(
        "body",
        help="what label 0 is in a volume of bodies: one more body, or membrane",
        choices=("body", "membrane"),
    )

    def check(self):
        """Raise OptionError for options that exclude each other, or a label of two classes."""
        if self.map and self.instances:
            raise OptionError("map", "excludes `instances`")
        if len(self.table) != len(self.map):
            raise OptionError("map", f"{' '.join(self.map)}: a label stands twice")
        if self.zero_is == "membrane" and not self.instances:
            raise OptionError("zero_is", "is only read with `instances`")

    @cached_property
    def table(self) -> dict[int, int]:
        """Class by stored label."""
        return {int(a): int(b) for a, b in (word.split("=") for word in self.map)}

    def classes(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Class indices of a slice of labels, uint8 (H, W).

        Args:
            where: name of the slice, for messages.
        Raises:
            ValueError: a label is no whole number, or has no class.
        """
        found, numbers = np.unique(labels, return_inverse=True)
        whole = np.isfinite(found) & (np.rint(found) == found)
        if not whole.all():
            raise ValueError(f"{where}: holds {found[~whole][0]}, expected whole numbers")
        numbers = numbers.reshape(labels.shape).astype(np.int32)  # (H, W), into `found`
        if self.instances:
            edges = borders(numbers, self.instances)
            if self.zero_is == "membrane":
                edges |= labels == 0
            return np.where(edges, MEMBRANE, INSIDE).astype(np.uint8)
        return self._class_of(found.tolist(), where)[numbers]

    def _class_of(self, found: list, where: str) -> np.ndarray:
        """Classes of the labels of a slice, uint8."""
        if self.map:
            missing = [label for label in found if label not in self.table]
            remedy = f"expected {', '.join(map(str, self.table))}. Add {{}}=CLASS to the map."
        else:
            classes = {*range(LIKELY_CLASSES), IGNORE}
            missing = [label for label in found if label not in classes]
            remedy = (
                f"expected classes 0 to {LIKELY_CLASSES - 1}. Map grey levels to classes, "
                "or write the membranes of instances, which are numbered bodies."
            )
        if missing:
            first = int(missing[0])  # as users count them, 1 and not 1.0
            raise ValueError(f"{where}: found label {first}, {remedy.format(first)}")
        classes = [self.table[label] for label in found] if self.map else found
        return np.array(classes).astype(np.uint8)


def borders(bodies: np.ndarray, width: int) -> np.ndarray:
    """Pixels of the borders between bodies, bool (H, W).

    A border between two bodies is `width` pixels wide, the odd one on the lower or right side.

    Args:
        bodies: a whole number for each body, (H, W).
    """
    # A pixel belongs to a border where a window of `width` + 1 pixels sees two bodies.
    seen = {"size": width + 1, "mode": "nearest"}
    return maximum_filter(bodies, **seen) != minimum_filter(bodies, **seen)
