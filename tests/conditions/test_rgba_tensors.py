"""Tensors of masks and edges: planes by hand, the note of a job, options."""

from pathlib import Path

import numpy as np
import pytest

from conditions.rgba_tensors import TensorOptions, build_rgba, describe
from core.command_line.options import OptionError

LABELS = np.array([[0, 1], [2, 0]])
EDGES = np.array([[0, 255], [51, 204]], np.uint8)


@pytest.mark.parametrize(
    ("beta", "alpha"), [(1, (0, 1, 0.2, 0.8)), (2, (0, 1, 0.4, 1)), (0, 4 * (0,))]
)
def test_planes_and_alpha_by_hand(beta, alpha):
    rgba = build_rgba(LABELS, EDGES, beta)
    assert rgba.shape == (2, 2, 4) and rgba.dtype == np.float32
    planes = rgba[..., :3]
    assert (planes.argmax(axis=2) == LABELS).all() and (planes.sum(axis=2) == 1).all()
    assert np.allclose(rgba[..., 3].ravel(), alpha)


def test_a_note_changes_with_everything_that_a_tensor_depends_on():
    image, mask = Path("a.png"), Path("b.png")
    others = TensorOptions(canny_low=7), TensorOptions(canny_high=700), TensorOptions(beta_edge=2)
    notes = {describe(image, mask, options, {}) for options in (TensorOptions(), *others)}
    notes.add(describe(image, Path("c.png"), TensorOptions(), {}))
    assert len(notes) == 5


def test_options_that_do_not_fit():
    assert TensorOptions().folder == "100_200"
    for field, options in (
        ("canny_low", TensorOptions(canny_low=201)),
        ("num_mask_classes", TensorOptions(num_mask_classes=4)),
    ):
        with pytest.raises(OptionError) as caught:
            options.check()
        assert caught.value.field == field
