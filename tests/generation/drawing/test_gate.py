"""The quality gate: what is drawn again, what is kept."""

from pathlib import Path

import numpy as np

from core.seeds import sample_seed
from generation.drawing.gate import Gate, pass_gate
from generation.planning.plan import ConditionSet, PlannedImage

LABELS = np.zeros((2, 2), np.uint8)
SETS = [ConditionSet(i, (Path("m.png"),)) for i in range(2)]
BATCH = [PlannedImage(files, 0, "", seed) for files, seed in zip(SETS, (5, 6), strict=True)]


def passed(scores, max_redraws=2, min_agreement=0.5):
    """The kept pictures where drawings with these seeds score so; and the seeds drawn in order."""
    drawn = []

    def draw(places, planned):
        drawn.append([image.seed for image in planned])
        return [np.full((2, 2, 3), BATCH[place].seed, np.uint8) for place in places]

    rank = iter(scores)
    gate = Gate(min_agreement, max_redraws, lambda picture, labels: next(rank))
    return pass_gate(BATCH, [LABELS] * 2, draw, gate), drawn


def test_pictures_that_pass_are_left_alone():
    kept, drawn = passed([0.9, 0.5])
    assert drawn == [[5, 6]]
    assert [image.notes for image in kept] == [
        {"agreement": 0.9, "redraw": 0, "seed": 5},
        {"agreement": 0.5, "redraw": 0, "seed": 6},
    ]


def test_those_that_fail_are_drawn_again_and_the_best_is_kept():
    kept, drawn = passed([0.9, 0.1, 0.3, 0.2])
    seeds = [sample_seed(6, "redraw", n) for n in (1, 2)]
    assert drawn == [[5, 6], [seeds[0]], [seeds[1]]]
    assert kept[1].notes == {"agreement": 0.3, "redraw": 1, "seed": seeds[0]}
    assert kept[1].planned.seed == seeds[0] and kept[0].planned is BATCH[0]
    _, drawn = passed([0.1, 0.1], max_redraws=0)
    assert len(drawn) == 1


def test_doubtful_pixels_are_marked():
    gate = Gate(None, 2, lambda picture, labels: 0.1, lambda picture, labels: labels == 0)
    kept = pass_gate(BATCH[:1], [LABELS], lambda places, planned: [np.zeros((2, 2, 3))], gate)
    assert kept[0].ignored.all() and kept[0].notes["ignored_share"] == 1.0
