"""Files of class indices: what their pixels, palettes and compression say of classes."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.imaging.image_files import decode, read_header
from core.imaging.image_header import Picture
from core.imaging.images import IMAGE_SUFFIXES
from core.notices import notify

IGNORE = 255  # label of pixels that neither loss nor score counts
LIKELY_CLASSES = 32  # numbers below are taken for classes where nothing else tells, not for greys
NO_JPEG = "JPEG changes classes at borders: save labels as PNG, or as TIFF without JPEG"


def read_labels(path: str | Path) -> np.ndarray:
    """Class indices, int64 (H, W), exactly as stored.

    An RGB file is taken where its three channels are equal, and whole numbers that are stored as
    floats are taken too. Files in which 0 is white are not inverted.

    The indices of a palette file are its classes, with one exception: a colour table that itself
    holds class numbers, as `quantize` of Pillow writes it for a mask. Such a table consists of
    greys alone, those in use are below 32, and at least one entry lies in 1..31. Then the greys are
    the classes. A table of black, grey and white does not qualify: its 0 is a brightness. Where
    greys do not rise with the index, as in pictures that were stored with few colours, neither
    tells the classes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, truncated, a stack, a colour picture, or a palette of greys that
            do not rise.
    """
    path = Path(path)
    picture = decode(path)
    labels = picture.pixels
    if picture.table is not None:
        labels = _classes_of_table(path, picture)
    elif picture.header.colours == "RGB" and (labels[..., :3] != labels[..., :1]).any():
        raise ValueError(
            f"{path}: a colour picture, expected class indices 0, 1, 2, ... "
            "Save one grey value per class."
        )
    elif picture.header.colours == "grey" and picture.header.samples > 2:
        raise ValueError(
            f"{path}: {picture.header.samples} channels, expected class indices in one"
        )
    return _whole_numbers(path, labels[..., 0])


def palette_in_use(path: str | Path) -> dict[tuple[int, ...], int]:
    """Class of each colour in a file whose palette numbers them; empty for other files.

    Left out are IGNORE, colours that the palette names twice, and tables that hold the classes.

    Raises:
        FileNotFoundError, ValueError: as `read_labels`.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES or read_header(path).colours != "palette":
        return {}
    picture = decode(path)
    used = np.unique(picture.pixels)
    if _holds_classes(picture.table, used):
        return {}
    colours = [tuple(colour) for colour in picture.table.tolist()]
    shown = {colours[i]: i for i in used.tolist() if i < len(colours) and i != IGNORE}
    return {colour: i for colour, i in shown.items() if colours.count(colour) == 1}


def _is_grey(table: np.ndarray, used: np.ndarray) -> bool:
    """Tell whether a colour table holds 8-bit greys alone, and all entries in use."""
    return (table == table[:, :1]).all() and table.dtype == np.uint8 and used[-1] < len(table)


def _holds_classes(table: np.ndarray, used: np.ndarray) -> bool:
    """Tell whether the greys of a table are classes, by the rule of `read_labels`.

    Args:
        used: indices that the pixels hold, sorted.
    """
    likely = table[:, 0] < LIKELY_CLASSES
    return _is_grey(table, used) and likely[used].all() and (likely & (table[:, 0] > 0)).any()


def _classes_of_table(path: Path, picture: Picture) -> np.ndarray:
    """Classes (H, W, 1) of a palette file, by the rule of `read_labels`."""
    table, indices = picture.table, picture.pixels
    used = np.unique(indices)
    if _holds_classes(table, used):
        return table[:, 0][indices]
    shown = used[used != IGNORE]
    greys = table[shown, 0].astype(int) if _is_grey(table, used) else shown
    if (np.diff(greys) < 0).any():
        raise ValueError(
            f"{path}: a palette in which the indices {_few(shown)} show the greys {_few(greys)}, "
            "so neither tells the classes. Save one whole number per class: 0, 1, 2 and so on, in "
            "a grey file."
        )
    return indices


def _few(values: np.ndarray) -> str:
    """The first numbers, for messages."""
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")


def _whole_numbers(path: Path, labels: np.ndarray) -> np.ndarray:
    """Labels as int64; refuses fractions and numbers that int64 cannot hold."""
    limits = np.iinfo(np.int64)
    if labels.dtype.kind == "f":
        # 2**63 is a float and one too many; no float lies between it and the largest int64
        numbers = labels.astype(np.float64)  # half floats end below 2**63
        whole = (np.rint(numbers) == numbers) & (np.abs(numbers) < 2.0**63)
    elif labels.dtype.kind in "bui":
        whole = labels <= limits.max
    else:
        whole = np.zeros(labels.shape, bool)
    if not whole.all():
        first = labels[~whole][0]
        raise ValueError(
            f"{path}: pixels are {labels.dtype} and one is {first}, expected whole numbers "
            "(class indices)"
        )
    return labels.astype(np.int64)


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


def check_label_files(paths: Iterable[Path]) -> None:
    """Check that palettes agree, see `check_palettes`, and warn as `notify_of_jpeg`.

    Raises:
        FileNotFoundError, ValueError: as `check_palettes`.
    """
    paths = list(dict.fromkeys(paths))
    check_palettes(paths)
    notify_of_jpeg(paths)


def notify_of_jpeg(paths: Iterable[Path]) -> None:
    """Warn of each folder with files compressed as JPEG; arrays and the like are left out.

    Raises:
        FileNotFoundError, ValueError: as `read_header`.
    """
    folders = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    for folder, here in folders.items():
        pictures = (path for path in here if path.suffix.lower() in IMAGE_SUFFIXES)
        lossy = [path for path in pictures if read_header(path).lossy]
        if lossy:
            notify(
                f"{folder}: {len(lossy)} of {len(here)} files of labels are compressed as JPEG, "
                f"for example {lossy[0].name}. {NO_JPEG}"
            )
