"""Pairs of EM images and conditions: found by their names, checked before a model loads."""

import os
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from conditions import Condition, create_condition
from core.checks import bar_for_many, raise_first
from core.duplicates import equal_files
from core.imaging.images import check_image, list_images
from core.imaging.labels import IGNORE, check_label_files
from core.imaging.pairing import match_names
from core.notices import notify


class Pair(NamedTuple):
    """Files of one sample."""

    image: Path
    condition: Path


def find_pairs(
    image_dir: str | Path, condition_dir: str | Path, condition: Condition | None = None
) -> list[Pair]:
    """Images of one folder with the conditions of another, in natural order of the image names.

    Args:
        condition: what the second folder holds; masks when not given.
    Raises:
        FileNotFoundError: no such folder, or nothing in it.
        RuntimeError: the names do not pair one to one (see `match_names`).
    """
    condition = condition or create_condition("segmentation")
    names = match_names(list_images(image_dir), condition.list_files(condition_dir))
    if all(os.path.samefile(*both) for both in names):
        notify(
            f"{image_dir} and {condition_dir} hold the same files: images are their own conditions"
        )
    return [Pair(*both) for both in names]


def check_same_size(pair: Pair, size: tuple[int, int], condition_size: tuple[int, int]) -> None:
    """Raise RuntimeError where the (height, width) of a pair's files differ."""
    if size != condition_size:
        (h, w), (other_h, other_w) = size, condition_size
        raise RuntimeError(
            f"{pair.image} is {w} x {h} but {pair.condition} is {other_w} x {other_h} pixels "
            "(width x height). Bring both to one size, masks without interpolation."
        )


def check_pairs(pairs: Sequence[Pair], condition: Condition | None = None) -> None:
    """Find bad files before a model loads: damaged images, wrong conditions, unequal sizes.

    Warns of masks that all hold one class, of those whose pixels are all ignored, and as
    `check_label_files`.

    Args:
        condition: what the pairs' second files hold; masks of three classes when not given.
    Raises:
        ValueError, RuntimeError, OSError: the first problem, with the number of further ones; or
            all pixels of all masks are ignored.
    """
    condition, problems = condition or create_condition("segmentation"), []
    classes = set()  # of the first files, until two are found
    ignored = []  # masks whose pixels are all ignored
    for pair in bar_for_many(pairs):
        try:
            size, layers = check_image(pair.image), condition.read(pair.condition)
            check_same_size(pair, size, layers.classes.shape[:2])
            if condition.carries_labels and (condition.allow_ignore or len(classes) < 2):
                labels = condition.counted_labels(layers)
                if not labels.size:
                    ignored.append(pair.condition)
                if len(classes) < 2:
                    classes |= {*np.unique(labels).tolist()}
        except (ValueError, RuntimeError, OSError) as error:
            problems.append(error)
    raise_first(problems)
    if condition.carries_labels:
        check_label_files(pair.condition for pair in pairs)
    if ignored and len(ignored) == len(pairs):
        raise ValueError(
            f"{ignored[0].parent}: all pixels of all {len(pairs)} masks are marked with {IGNORE}, "
            "so nothing can be learned or scored. Mark fewer pixels."
        )
    notify_of_ignored(ignored, len(pairs))
    if pairs:
        notify_of_one_class(pairs[0].condition.parent, len(pairs), classes)


def notify_of_one_class(folder: Path, num_masks: int, classes: Set[int]) -> None:
    """Warn where all masks of a folder together hold one class.

    Args:
        classes: those that were found; empty where the files hold no labels.
    """
    if len(classes) == 1:
        (label,) = classes
        notify(
            f"{folder}: all {num_masks} masks hold class {label} alone, so they tell nothing about "
            "the images. Are these the right files?"
        )


def notify_of_ignored(masks: Sequence[Path], of: int) -> None:
    """Warn of masks whose pixels are all marked with IGNORE.

    Args:
        masks: these alone.
        of: number of all masks.
    """
    if masks:
        notify(
            f"{masks[0]}: all pixels are marked with {IGNORE}, as in {len(masks)} of {of} masks. "
            "Nothing is learned or scored from their images: leave these pairs out, or mark fewer "
            "pixels"
        )


def notify_of_overlap(training: Sequence[Pair], validation: Sequence[Pair]) -> None:
    """Warn of validation images that are training images too, by content, whatever their names."""
    shared = equal_files([pair.image for pair in validation], [pair.image for pair in training])
    if shared:
        notify(
            f"{len(shared)} of {len(validation)} validation images are training images too, for "
            f"example {shared[0][0]} and {shared[0][1]}. The validation then tells nothing about "
            "new images."
        )
