"""Files of labels as a set: what a look at a single one does not tell."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from core.imaging.image_files import read_header
from core.imaging.images import IMAGE_SUFFIXES
from core.imaging.palettes import check_palettes
from core.notices import notify

NO_JPEG = "JPEG changes classes at borders: save labels as PNG, or as TIFF without JPEG"


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
