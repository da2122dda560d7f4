"""Palette files of labels, compared with each other."""

from collections.abc import Iterable
from pathlib import Path

from core.imaging.images import palette_in_use


def check_palettes(paths: Iterable[Path]) -> None:
    """Check that a colour is the same class in all palette files of a folder.

    Programs that reduce colours number those of each file anew.

    Raises:
        FileNotFoundError, ValueError: as `palette_in_use`, or two files differ; names both.
    """
    known = {}  # folder and colour -> class and the first file
    for path in dict.fromkeys(paths):
        for colour, label in palette_in_use(path).items():
            other_label, other = known.setdefault((path.parent, colour), (label, path))
            if other_label != label:
                raise ValueError(
                    f"{path}: a palette in which the colour {colour} is class {label}; in {other} "
                    f"it is {other_label}. Save one whole number per class: 0, 1, 2 and so on, in "
                    "grey files."
                )
