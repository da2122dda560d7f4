"""Layouts of exported data sets: two folders of pairs, nnU-Net v2's, COCO's, OME-Zarr.

A layout says where images and masks lie and which records stand beside them. Pictures are the same
in all of them: 8 bits, masks as class indices. They are PNGs in all but OME-Zarr.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import NamedTuple

import numpy as np

from core.files import write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from core.imaging.labels import IGNORE
from core.imaging.pairing import IMAGES, MASKS, natural_order
from core.imaging.pixel_size import PixelSize
from core.notices import notify
from generation.exporting.ome_zarr import ENDING, LABELS, require_ome_zarr, write_ome_zarr

BACKGROUND = "background"
NNUNET_NAME = re.compile(r"Dataset\d{3}_[A-Za-z0-9]\w*")  # documented by nnU-Net
IGNORED_NAME = "ignore"  # nnU-Net's, of pixels that do not count
FOLDS = 5  # nnU-Net's own number


class Case(NamedTuple):
    """A pair of an exported data set.

    Attributes:
        name: of its files, without ending.
        group: pairs of one group show the same mask, or variations of it.
        real: whether the image is no generated one.
        size: (height, width).
        has_ignored: whether its mask marks pixels to be ignored.
    """

    name: str
    group: str
    real: bool
    size: tuple[int, int]
    has_ignored: bool = False


@dataclass(frozen=True)
class PairsLayout:
    """Equal names in two folders, which most code for segmentation reads.

    Attributes:
        images, masks: folders.
        image_ending: behind the name of a case.
        always_grey: whether images get one channel, whatever colours they have.
    """

    images: str = IMAGES
    masks: str = MASKS
    image_ending: str = ".png"
    always_grey: bool = False

    @property
    def contents(self) -> str:
        """A sentence for the card: the folders and what they hold."""
        return (
            f"`{self.images}/` has the images and `{self.masks}/` the masks, 8-bit PNGs whose "
            "pixels are class indices."
        )

    def ignore_label(self, num_classes: int) -> int:
        """Value of pixels to be ignored."""
        return IGNORE

    def check(self, folder: Path, class_names: Sequence[str]) -> None:
        """Raise ValueError where the layout does not allow this folder or these names."""

    def write_pair(
        self,
        folder: Path,
        name: str,
        image: Path | np.ndarray,
        labels: np.ndarray,
        pixel_size: PixelSize | None,
    ) -> None:
        """Write a case.

        Args:
            folder: of the data set, with the layout's folders in it.
            image: grey levels or colours, uint8 (H, W) or (H, W, 3); or a PNG, which is copied
                byte for byte: decoding and encoding 10,000 images would take minutes.
            labels: uint8 (H, W).
            pixel_size: None where it is unknown.
        """
        image_file = folder / self.images / f"{name}{self.image_ending}"
        if isinstance(image, Path):
            copyfile(image, image_file)
        else:
            write_png(image_file, image)
        write_png(folder / self.masks / f"{name}.png", labels)

    def write_pixel_size(self, folder: Path, pixel_size: PixelSize) -> None:
        """Note the pixel size that all images have in common where the PNGs lie."""
        for kind in (self.images, self.masks):
            write_json(folder / kind / VOLUME, {"pixel_size_nm": pixel_size})

    def write_records(
        self, folder: Path, cases: Sequence[Case], class_names: Sequence[str], grey: bool
    ) -> None:
        """Write what describes the cases, beside the pictures.

        Args:
            folder: of the data set.
            class_names: in the order of the class indices.
            grey: whether images have one channel, else three.
        """


@dataclass(frozen=True)
class NnunetLayout(PairsLayout):
    """The raw data of nnU-Net v2, with a cross-validation that keeps groups together."""

    images: str = "imagesTr"
    masks: str = "labelsTr"
    image_ending: str = "_0000.png"  # a case has one file, also of three channels

    def ignore_label(self, num_classes):
        """Value of pixels to be ignored: the number after the last class."""
        return num_classes  # nnU-Net wants it behind the last class

    def check(self, folder, class_names):
        """Raise ValueError for a folder, or names of classes, that nnU-Net refuses or misreads."""
        if not NNUNET_NAME.fullmatch(folder.name):
            raise ValueError(
                f"--export_dataset {folder}: nnU-Net expects a name such as Dataset501_Cells"
            )
        if class_names[0] != BACKGROUND:
            raise ValueError(
                f"--class_names {class_names[0]}: nnU-Net calls the first class {BACKGROUND}"
            )
        if IGNORED_NAME in class_names:
            raise ValueError(
                f"--class_names {IGNORED_NAME}: nnU-Net leaves its pixels out of the loss. "
                "Name the class otherwise."
            )

    def write_records(self, folder, cases, class_names, grey):
        """Write `dataset.json`, and `splits_final.json` where there are groups to keep together."""
        # Any name but those of a few modalities makes nnU-Net normalise each channel by itself.
        channels = ["EM"] if grey else ["R", "G", "B"]
        labels = {name: i for i, name in enumerate(class_names)}
        if any(case.has_ignored for case in cases):
            labels[IGNORED_NAME] = self.ignore_label(len(class_names))
        description = {
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            "labels": labels,
            "numTraining": len(cases),
            "file_ending": ".png",
            "overwrite_image_reader_writer": "NaturalImage2DIO",
        }
        write_json(folder / "dataset.json", description)
        if folds := grouped_folds(cases):
            write_json(folder / "splits_final.json", folds)
        else:
            notify(
                "all pairs show one mask, so no splits_final.json is written: train nnU-Net "
                "with the fold all"
            )


@dataclass(frozen=True)
class CocoLayout(PairsLayout):
    """Semantic PNGs whose pixels are category ids, and COCO's lists of images and categories."""

    masks: str = "annotations"

    def write_records(self, folder, cases, class_names, grey):
        """Write `annotations.json`: sizes of the images, their masks and the categories."""
        images, annotations = [], []
        for i, case in enumerate(cases, start=1):
            height, width = case.size
            file = f"{case.name}.png"
            images.append({"id": i, "file_name": file, "height": height, "width": width})
            annotations.append({"image_id": i, "file_name": file})
        # Semantic classes have no instances: none of them is a `thing`.
        categories = [
            {"id": i, "name": name, "supercategory": name, "isthing": 0}
            for i, name in enumerate(class_names)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        if any(case.has_ignored for case in cases):
            ignored = f"{self.ignore_label(len(class_names))} marks pixels to be ignored."
            content = {"info": {"description": f"In {self.masks}/, {ignored}"}} | content
        write_json(folder / "annotations.json", content)


@dataclass(frozen=True)
class OmeZarrLayout(PairsLayout):
    """An OME-Zarr of one slice for each pair, which holds its mask as labels."""

    masks: str = IMAGES
    image_ending: str = ENDING
    always_grey: bool = True

    @property
    def contents(self):
        return (
            f"`{self.images}/` has an OME-Zarr for each pair: an 8-bit grey image of one slice, "
            f"and class indices as the labels `{LABELS}`."
        )

    def check(self, folder, class_names):
        """Raise RuntimeError where the library that writes OME-Zarr is missing."""
        require_ome_zarr()

    def write_pair(self, folder, name, image, labels, pixel_size):
        """Write one OME-Zarr with a slice of image and labels."""
        path = folder / self.images / f"{name}{self.image_ending}"
        voxel = (pixel_size.y, *pixel_size) if pixel_size else None  # as deep as it is high
        write_ome_zarr(path, name, image[None], labels[None], voxel)

    def write_pixel_size(self, folder, pixel_size):
        """Write nothing: each OME-Zarr states its own."""


LAYOUTS = {
    "pairs": PairsLayout(),
    "nnunet": NnunetLayout(),
    "coco": CocoLayout(),
    "ome_zarr": OmeZarrLayout(),
}


def grouped_folds(cases: Sequence[Case], folds: int = FOLDS) -> list[dict[str, list[str]]]:
    """Folds of a cross-validation as nnU-Net stores them: names of cases to train and validate on.

    Where there are real pairs, they alone are validated on: a score on generated ones would say
    little. No pair is trained on whose mask is validated on. The held-out groups of a fold follow
    one another in natural order, as neighbouring slices resemble each other.

    Returns:
        One dictionary for each fold, or none where there are not two groups to validate on.
    """
    judged = [case for case in cases if case.real] or cases
    groups = sorted({case.group for case in judged}, key=lambda group: natural_order(Path(group)))
    folds = min(folds, len(groups))
    if folds < 2:
        return []
    splits = []
    for k in range(folds):
        held_out = set(groups[k * len(groups) // folds : (k + 1) * len(groups) // folds])
        splits.append(
            {
                "train": [case.name for case in cases if case.group not in held_out],
                "val": [case.name for case in judged if case.group in held_out],
            }
        )
    return splits
