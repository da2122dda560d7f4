"""Stacks: noise that changes gradually, and conditions that are no stack."""

import math
from pathlib import Path

import pytest
import torch

from generation.planning.plan import ConditionSet, SamplePlan
from generation.planning.stack import blend_at, check_stack
from ldm.samplers.noise import blend_noise

SHAPE = (1, 4, 128, 128)


def correlation(a, b):
    return float(torch.stack([a.flatten(), b.flatten()]).corrcoef()[0, 1])


@pytest.mark.parametrize("spacing", [10, 7.5])
def test_noise_of_slices_changes_gradually(spacing):
    noise = [blend_noise(SHAPE, [blend_at(3, z, spacing)]) for z in range(31)]
    for x in noise:
        assert float(x.mean()) == pytest.approx(0, abs=0.02)
        assert float(x.std()) == pytest.approx(1, abs=0.02)
    for a, b in zip(noise, noise[1:], strict=False):
        # Across a knot the path bends, and the noise is a little less alike.
        assert math.cos(math.pi / spacing) - 0.02 < correlation(a, b) < 1
    assert correlation(noise[0], noise[1]) == pytest.approx(
        math.cos(math.pi / 2 / spacing), abs=0.02
    )
    assert abs(correlation(noise[0], noise[20])) < 0.02


def test_a_slice_depends_on_its_seed_and_place_alone():
    whole = blend_noise((3, *SHAPE[1:]), [blend_at(3, z, 10) for z in (4, 5, 6)])
    assert torch.equal(whole[1:2], blend_noise(SHAPE, [blend_at(3, 5, 10)]))
    assert abs(correlation(whole[1], blend_noise(SHAPE, [blend_at(4, 5, 10)]))) < 0.02


def test_slices_of_a_stack_share_prompt_and_knots():
    sets = [ConditionSet(i, (Path(f"z{i}.png"),)) for i in range(8)]
    plan = SamplePlan(sets, [2] * 8, 5, [str(i) for i in range(50)], stack=16.0)
    first, second = list(plan)[::2], list(plan)[1::2]
    for stack in (first, second):
        assert len({planned.prompt for planned in stack}) == 1
        assert len({(planned.blend.first, planned.blend.second) for planned in stack}) == 1
        assert len({planned.blend.angle for planned in stack}) == 8
        assert len({planned.seed for planned in stack}) == 8  # of the grain
    assert first[0].blend != second[0].blend


@pytest.mark.parametrize(
    ("names", "sizes", "message"),
    [
        (["z0", "z3", "z7"], {}, "z7 comes 4 after z3, but z3 comes 3 after z0"),
        (["a", "b"], {0: (8, 8), 1: (8, 16)}, "b has 16 x 8 pixels, but a has 8 x 8"),
        (["z0", "z1", "z2"], {2: (8, 8)}, None),
        (["z08", "z09", "z10"], {}, None),
        (["s1_z4", "s1_z6", "s1_z8"], {}, None),
        (["z0_v1", "z1_v1", "z5_v1"], {}, "z5_v1 comes 4 after z1_v1"),
        (["z0_v1", "z1_v1", "z2_v1"], {}, None),
        (["left", "right", "z9"], {}, None),  # nothing tells their order
        (["z1"], {}, None),
        ([], {}, None),
    ],
)
def test_what_is_no_stack_is_refused(names, sizes, message):
    if message is None:
        check_stack(names, sizes)
        return
    with pytest.raises(ValueError, match=message):
        check_stack(names, sizes)
