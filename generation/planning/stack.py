"""Stacks: conditions that are consecutive slices give images that hang together.

Neighbouring slices begin with nearly the same noise, and a deterministic sampler turns it into
nearly the same textures. The noise of a slice follows from the seed and the slice's place alone, so
a stack is the same in any batch and shard.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.command_line.options import option, positive_float
from core.seeds import sample_seed
from ldm.samplers.noise import Blend


@dataclass(frozen=True)
class StackOptions:
    """Images that hang together."""

    stack: float | None = option(
        None,
        positive_float,
        "SLICES",
        "the conditions are consecutive slices: their noise changes gradually, to that of other "
        "seeds within so many slices; images with the same copy number make a stack",
    )


def blend_at(seed: int, place: int, spacing: float) -> Blend:
    """Noise of a slice, between that of two knots.

    Slices that are d apart, d below `spacing`, have noise with a correlation of about
    cos(pi / 2 * d / spacing).

    Args:
        seed: of the stack.
        place: of the slice in the stack, from 0.
        spacing: of the knots, in slices. It need not be whole.
    """
    knot, way = divmod(place / spacing, 1)  # way in [0, 1)
    seeds = (sample_seed(seed, "knot", int(knot) + i) for i in (0, 1))
    return Blend(*seeds, angle=way * math.pi / 2)


def check_stack(names: Sequence[str], sizes: Mapping[int, tuple[int, int]]) -> None:
    """Check that conditions are the slices of one stack, as far as it can be told.

    Args:
        names: of the conditions in order.
        sizes: (height, width) by place in `names`.
    Raises:
        ValueError: slices have other sizes, or the numbers in their names have gaps. These are the
            last ones that differ: `z1_v2`, `z2_v2` are slices 1 and 2.
    """
    first = next(iter(sizes), None)
    for place, (height, width) in sizes.items():
        if (height, width) != sizes[first]:
            raise ValueError(
                f"--stack: {names[place]} has {width} x {height} pixels, but {names[first]} has "
                f"{sizes[first][1]} x {sizes[first][0]}. Slices of a stack are equal in size."
            )
    from_the_last = (reversed(re.findall(r"\d+", name)) for name in names)
    columns = ([*map(int, column)] for column in zip(*from_the_last, strict=False))
    numbers = next((column for column in columns if len(set(column)) > 1), [])
    steps = [b - a for a, b in zip(numbers, numbers[1:], strict=False)]
    for i, step in enumerate(steps):
        if step != steps[0]:
            raise ValueError(
                f"--stack: {names[i + 1]} comes {step} after {names[i]}, but {names[1]} comes "
                f"{steps[0]} after {names[0]}. Give slices at equal distances."
            )
