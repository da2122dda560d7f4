"""Folders of images as batches for a network: one decoding and one resizing for every score."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from core.checks import bar_for_many
from core.imaging.images import check_image, list_images, read_image
from core.imaging.pairing import IMAGES
from core.notices import report
from fid.distances import require_spread
from fid.preprocessing import Preprocessing


def check_nesting(real: Path, generated: Path) -> None:
    """Raise ValueError where one folder lies in the other: its images would count on both sides."""
    resolved = Path(real).resolve(), Path(generated).resolve()
    # The same folder twice is allowed: the distance must then be 0, which checks a set-up.
    outer, inner = sorted(resolved, key=lambda path: len(path.parts))
    if outer != inner and outer in inner.parents:
        raise ValueError(
            f"{inner} lies inside {outer}: its images would count on both sides. Move it out."
        )


def sound_images(
    paths: Sequence[Path], skip_corrupt: bool = False, option: str | None = None
) -> tuple[list[Path], int]:
    """The files that can be read, and the number of the others.

    Args:
        skip_corrupt: leave unreadable files out; every file is decoded to find them.
        option: the script's option for `skip_corrupt`, for messages; None where it has none.
    Raises:
        ValueError: a file cannot be read and `skip_corrupt` is off; fewer than two can be read.
    """
    sound, errors = [], []
    # All files are checked before the first is reported, so that the message has their number.
    for path in bar_for_many(paths):
        try:
            check_image(path)
            if skip_corrupt:
                read_image(path)  # the quick check misses damage inside compressed pixels
            sound.append(path)
        except ValueError as error:
            errors.append(error)
    if errors and not skip_corrupt:
        more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
        remedy = f"{option} leaves such files out." if option else "Repair it or take it out."
        raise ValueError(f"{errors[0]}{more} {remedy}")
    require_spread(len(sound), f"{paths[0].parent}: {len(sound)} readable image(s)")
    return sound, len(errors)


def read_folder(
    folder: Path, skip_corrupt: bool, option: str = "--skip-corrupt"
) -> tuple[list[Path], int]:
    """Readable images of a folder and its sub-folders, and the number of others; reports both.

    Args:
        skip_corrupt, option: as in `sound_images`.
    Raises:
        FileNotFoundError, ValueError: as `list_images` and `sound_images`; or pictures lie beside a
            folder `images`.
    """
    listed = list_images(folder, recursive=True)
    _check_one_kind(folder, listed)
    paths, skipped = sound_images(listed, skip_corrupt, option)
    left_out = f", {skipped} unreadable ones left out" if skipped else ""
    report(f"{folder}: {len(paths)} images{left_out}")
    return paths, skipped


def _check_one_kind(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse a set of pairs or a run, whose masks and overviews would count as images."""
    images = folder / IMAGES
    others = [path for path in paths if not path.is_relative_to(images)]
    if others and len(others) < len(paths):
        raise ValueError(
            f"{folder}: {len(others)} pictures beside {IMAGES}/ would count as images, such as "
            f"{others[0].relative_to(folder)}. Name {images}."
        )


class _Images(Dataset):
    """Prepared images, or the message of the error where an image cannot be read.

    An exception would reach the user as the worker process's whole traceback.
    """

    def __init__(self, paths, preprocessing):
        self.paths, self.preprocessing = paths, preprocessing

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        try:
            return self.preprocessing(read_image(self.paths[index]))
        except (ValueError, OSError) as error:
            return str(error)


def read_batches(
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    batch_size: int,
    num_workers: int = 0,
    title: str = "images",
) -> Iterator[torch.Tensor]:
    """Prepared images in order, (N, C, size, size), with a progress bar.

    Args:
        num_workers: processes that decode and resize; 0 does it in this one.
        title: of the progress bar.
    Raises:
        ValueError: a file cannot be read.
    """
    loader = DataLoader(
        _Images(paths, preprocessing),
        batch_size,
        num_workers=min(num_workers, len(paths)),
        collate_fn=list,  # an item may be an error, which does not stack
    )
    with tqdm(total=len(paths), desc=title, unit="image") as bar:
        for batch in loader:
            errors = [item for item in batch if isinstance(item, str)]
            if errors:
                raise ValueError(errors[0])
            yield torch.stack(batch)  # (N, C, size, size)
            bar.update(len(batch))
