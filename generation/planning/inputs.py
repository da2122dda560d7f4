"""Condition files as a generation reads them: checked before the model loads, then as hints."""

import os
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from einops import rearrange

from conditions.pairs import notify_of_one_class
from core.checks import bar_for_many
from core.hardware.workers import in_workers
from core.imaging.labels import check_label_files
from generation.planning.branches import Branch
from generation.planning.plan import ConditionSet

CHECKED_BY_ONE = 2000  # below this many sets, starting workers costs more than it saves


def check_condition_sets(
    condition_sets: Sequence[ConditionSet], branches: Sequence[Branch], multiple: int, pad: bool
) -> dict[int, tuple[int, int]]:
    """(height, width) by number of the condition set; every file is read once, in full.

    Args:
        multiple, pad: see `check_condition_set`.
    Raises:
        FileNotFoundError, ValueError: as `check_condition_set` and `check_label_files`.
        OptionError: the pixel size of a folder is needed and unknown.
    """
    for branch in branches:
        _ = branch.resampling  # here, as its error cannot come back from a worker
    # A partial, because functions that workers call have to be pickled.
    check = partial(check_condition_set, branches=branches, multiple=multiple, pad=pad)
    # Workers import torch anew, which takes seconds.
    many = len(condition_sets) >= CHECKED_BY_ONE
    num_workers = len(os.sched_getaffinity(0)) if many else 0
    sizes = in_workers(check, condition_sets, num_workers, chunk=64)
    bar = bar_for_many(sizes, len(condition_sets), "checking conditions")
    found = {each.number: size for each, size in zip(condition_sets, bar, strict=True)}
    for i, branch in enumerate(branches):
        if branch.condition.carries_labels:
            check_label_files(each.files[i] for each in condition_sets)
    return found


def check_condition_set(
    conditions: ConditionSet, branches: Sequence[Branch], multiple: int, pad: bool
) -> tuple[int, int]:
    """(height, width) of the files of a set, all read in full.

    Args:
        multiple: what sides must be multiples of, unless `pad` is set.
    Raises:
        FileNotFoundError, ValueError: a bad file (see `Condition.read`), files of unequal sizes, or
            a size that the model does not take.
    """
    first = conditions.files[0]
    sizes = {
        path: branch.check(path) for branch, path in zip(branches, conditions.files, strict=True)
    }
    # Compared across branches too: their residuals are added place by place.
    height, width = sizes[first]
    for path, (other_height, other_width) in sizes.items():
        if (other_height, other_width) != (height, width):
            raise ValueError(
                f"{path}: {other_width} x {other_height} pixels, but {first} has {width} x {height}"
            )
    if (height % multiple or width % multiple) and not pad:
        raise ValueError(
            f"{first}: {width} x {height} pixels, expected multiples of {multiple}. "
            "Resize it, or use --pad."
        )
    return height, width


def notify_of_uniform_masks(
    condition_sets: Sequence[ConditionSet], branches: Sequence[Branch]
) -> None:
    """Warn where all masks of a run together hold one class.

    Reads masks until it has found two classes, so as a rule one.

    Args:
        condition_sets: all of the run, whatever the shard; checked before.
    """
    labelled = (i for i, branch in enumerate(branches) if branch.condition.carries_labels)
    if (i := next(labelled, None)) is None:
        return
    classes = set()
    for conditions in bar_for_many(condition_sets, desc="look for a second class"):
        labels = branches[i].condition.labels(branches[i].read_hint(conditions.files[i]))
        classes |= {*np.unique(labels).tolist()}
        if len(classes) > 1:
            return
    notify_of_one_class(branches[i].folder, len(condition_sets), classes)


def read_hints(conditions: ConditionSet, branches: Sequence[Branch]) -> list[np.ndarray]:
    """The hints of a condition set, one for each branch, float32 (H, W, C) in [0, 1]."""
    return [branch.read_hint(path) for branch, path in zip(branches, conditions.files, strict=True)]


def mirror_to_multiple(hint: np.ndarray, multiple: int) -> np.ndarray:
    """A hint mirrored at the right and lower border until its sides are multiples of `multiple`.

    Pictures smaller than the border are mirrored repeatedly.
    """
    # Right and below only, so that the crop of the image is its upper left corner.
    padding = [(0, -side % multiple) for side in hint.shape[:2]]
    return np.pad(hint, [*padding, (0, 0)], mode="symmetric")


def stack_hints(hints: Sequence[Sequence[np.ndarray]], multiple: int) -> list[torch.Tensor]:
    """Hints of a batch as the model takes them: one tensor for each branch, (N, C, H, W).

    Args:
        hints: for each image its hints, as `read_hints` gives them; all of one height and width.
        multiple: H and W become multiples of it.
    """
    stacked = []
    for of_branch in zip(*hints, strict=True):  # the hints of one branch, from all images
        padded = [mirror_to_multiple(hint, multiple) for hint in of_branch]  # each (H, W, C)
        batch = rearrange(padded, "n h w c -> n c h w")  # (N, C, H, W)
        # Contiguous, because the memory layout decides which convolution kernel computes.
        stacked.append(torch.from_numpy(batch).contiguous())
    return stacked
