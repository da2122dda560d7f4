"""Cells of phantoms: shares of the field, gaps between outlines, repeatable places."""

import numpy as np
import pytest

from microscope import phantom_cells
from microscope.phantom_cells import CYTOPLASM_RIM, FAR, Cells


@pytest.mark.parametrize("share", [0.3, 0.45])
def test_slice_0_leaves_the_wanted_share_to_the_resin(share, monkeypatch):
    monkeypatch.setattr(phantom_cells, "BACKGROUND_SHARE", (share, share))
    for seed in range(4):
        cells, _ = Cells(np.random.default_rng(seed)).regions(64, 0.0)
        # The clefts between cells that grow together come on top.
        assert share - 0.002 < np.mean(np.min(cells, axis=0) > 0) < share + 0.08


@pytest.mark.parametrize("seed", range(4))
def test_cells_are_apart_and_nuclei_inside(seed):
    cells, nuclei = Cells(np.random.default_rng(seed)).regions(64, 0.0)
    assert np.sum([cell < 0 for cell in cells], axis=0).max() == 1  # no pixel in two cells
    for cell, nucleus in zip(cells, nuclei, strict=True):
        assert (nucleus == FAR).all() or (cell[nucleus < 0] <= -CYTOPLASM_RIM + 1e-4).all()
    assert (nuclei[0] < 0).any()  # the first cell always has one


def test_places_follow_from_the_seed():
    first, again, other = (Cells(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.organelles == again.organelles != other.organelles
