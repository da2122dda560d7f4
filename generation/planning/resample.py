"""More images of masks that are hard to learn (Yang et al. 2023, FreeMask)."""

from collections.abc import Callable, Sequence

import numpy as np

from core.checks import bar_for_many
from generation.planning.branches import Branch, labels_of
from generation.planning.inputs import read_hints
from generation.planning.plan import ConditionSet

DIGITS = 3  # of the hardness: the last bits of a loss differ between machines


def copies_by_hardness(hardness: Sequence[float], most: int) -> list[int]:
    """Number of images of each condition set, at least 1: in proportion to its rank by hardness.

    Args:
        most: that of the hardest. Of sets that are equally hard, the first one has more.
    """
    rounded = [float(f"{value:.{DIGITS}g}") for value in hardness]
    hardest_first = sorted(range(len(rounded)), key=lambda i: -rounded[i])
    copies = [0] * len(rounded)
    for rank, i in enumerate(hardest_first):
        copies[i] = -(-most * (len(rounded) - rank) // len(rounded))  # rounded up
    return copies


def resampled_copies(
    sets: Sequence[ConditionSet],
    branches: Sequence[Branch],
    hardness: Callable[[np.ndarray], float],
    most: int,
) -> list[int]:
    """`copies_by_hardness` of condition sets, whose masks are all read.

    Args:
        hardness: labels (H, W) -> how hard they are.
    """
    values = []
    for conditions in bar_for_many(sets, desc="judge masks"):
        values.append(hardness(labels_of(read_hints(conditions, branches), branches)))
    return copies_by_hardness(values, most)
