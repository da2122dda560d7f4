"""How many images the masks of a run get."""

import pytest

from generation.planning.resample import copies_by_hardness


@pytest.mark.parametrize(
    "hardness, most, expected",
    [
        ([0.1, 0.4, 0.2, 0.3], 4, [1, 4, 2, 3]),
        ([0.1, 0.4, 0.2, 0.3], 8, [2, 8, 4, 6]),
        ([0.1, 0.4, 0.2, 0.3], 1, [1, 1, 1, 1]),
        ([0.3, 0.1, 0.2], 2, [2, 1, 2]),
        # Equal up to the last bits, which differ between machines
        ([0.30000001, 0.30000002], 2, [2, 1]),
        ([0.5], 3, [3]),
    ],
)
def test_copies_grow_with_the_rank(hardness, most, expected):
    assert copies_by_hardness(hardness, most) == expected
