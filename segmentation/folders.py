"""Folders of images and masks that the segmenter is trained on or scored with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from conditions.base import classes_option
from conditions.pairs import Pair, notify_of_overlap
from core.command_line.options import OptionError, option, option_names
from core.imaging.known_sizes import notify_of_unlike_folders
from core.imaging.pixel_size import PixelSize
from core.imaging.resampling import pixel_size_option, resampling_to

MASKS_OF = "their masks (class indices): one folder for each, names that match"


def check_numbers(options, images: str, masks: str) -> None:
    """Raise OptionError where two fields do not name as many folders."""
    found, expected = len(getattr(options, masks)), len(getattr(options, images))
    if found != expected:
        raise OptionError(masks, f"{found} folders, --{images} names {expected}: give one for each")


@dataclass(frozen=True)
class SegmenterFolderOptions:
    """Images and masks of both commands."""

    image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of images", nargs="+", required=True
    )
    mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+", required=True)
    pixel_size: float | None = pixel_size_option("images and masks")
    ignore_255: bool = option(False, bool, help="the masks mark pixels that do not count with 255")

    def check(self):
        """Raise OptionError where folders of images and masks do not match."""
        check_numbers(self, "image_path", "mask_path")


@dataclass(frozen=True)
class SegmenterFileOptions:
    """Further files of `train`."""

    val_image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of validation images", nargs="+"
    )
    val_mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+")
    synthetic_image_path: tuple[Path, ...] = option(
        (), Path, "DIR", "folders of generated images, the second source of --mix", nargs="+"
    )
    synthetic_mask_path: tuple[Path, ...] = option((), Path, "DIR", MASKS_OF, nargs="+")
    num_classes: int = classes_option()
    output: Path = option(None, Path, "FILE", "checkpoint to write", required=True)

    def check(self):
        """Raise OptionError where folders do not match, or one class is left."""
        check_numbers(self, "val_image_path", "val_mask_path")
        check_numbers(self, "synthetic_image_path", "synthetic_mask_path")
        if self.num_classes < 2:
            raise OptionError("num_classes", f"{self.num_classes}, expected at least 2")


def pixel_size_read(side: float | None, folders: Sequence[Path]) -> PixelSize | None:
    """The pixel size at which pairs are read; None where it is unknown.

    Args:
        side: in nm, to which pairs are resampled; None keeps them.
        folders: of all images.
    Raises:
        ValueError: the images are to be resampled, and the pixel size of a folder is unknown.
    """
    if side is None:
        return notify_of_unlike_folders(folders)
    with option_names():
        for folder in folders:
            resampling_to(folder, side)
    return PixelSize(side, side)


class TrainingPairs(NamedTuple):
    """Pairs that a segmenter is trained on, and those that it is validated with.

    Attributes:
        synthetic: generated pairs beside the real ones.
    """

    real: Sequence[Pair]
    validation: Sequence[Pair] = ()
    synthetic: Sequence[Pair] = ()

    @property
    def numbers(self) -> Mapping[str, int]:
        """Training pairs of each of `segmentation.options.SOURCES`."""
        return {"real": len(self.real), "synthetic": len(self.synthetic)}

    def describe(self) -> str:
        """Numbers of pairs, for people."""
        beside = f" and {len(self.synthetic)} generated ones" if self.synthetic else ""
        return f"training on {len(self.real)} images{beside}, validating on {len(self.validation)}"


def gather_training_pairs(
    folders: SegmenterFolderOptions, files: SegmenterFileOptions
) -> TrainingPairs:
    """The pairs of all folders, checked; raises as `segmentation.data.gather_pairs`."""
    from segmentation.data import gather_pairs  # here, because it loads torch

    pairs = TrainingPairs(
        *(
            gather_pairs(images, masks, files.num_classes, allow_ignore)
            for images, masks, allow_ignore in (
                (folders.image_path, folders.mask_path, folders.ignore_255),
                (files.val_image_path, files.val_mask_path, folders.ignore_255),
                # A generation marks doubtful pixels so.
                (files.synthetic_image_path, files.synthetic_mask_path, True),
            )
        )
    )
    notify_of_overlap([*pairs.real, *pairs.synthetic], pairs.validation)
    return pairs
