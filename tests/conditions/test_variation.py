"""New masks from real ones: what stays as it is, and what the random draws decide."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from conditions.objects import find_objects
from conditions.variation import VariationOptions, bend, number_regions, read_apart, take, vary
from core.command_line.options import OptionError

STILL = VariationOptions(elastic_deviation=0.0, rotation=0.0, scaling=1.0)


def cells(side: int, cell: int, membrane: int) -> np.ndarray:
    """A square mask of square cells (class 0) with membranes (class 1) between them."""
    inside = np.arange(side) % (cell + membrane) < cell
    return np.where(inside[:, None] & inside, 0, 1).astype(np.int64)


@pytest.fixture
def cell_with_nuclei():
    """Class 2 in class 1 in class 0."""
    labels = np.zeros((96, 96), np.int64)
    labels[10:86, 10:86] = 1
    labels[20:30, 20:32] = labels[60:70, 50:58] = 2
    return labels


def test_without_movement_a_mask_stays_or_is_mirrored(cell_with_nuclei):
    seen = {
        vary(cell_with_nuclei, STILL, np.random.default_rng(seed)).labels.tobytes()
        for seed in range(8)
    }
    assert seen == {cell_with_nuclei.tobytes(), cell_with_nuclei[:, ::-1].tobytes()}


def test_an_image_turns_with_its_mask(cell_with_nuclei):
    new = vary(cell_with_nuclei, VariationOptions(), np.random.default_rng(1))
    image = take(cell_with_nuclei.astype(np.float32), new.places, smooth=True)
    same = np.rint(image) == new.labels
    assert same.mean() > 0.9  # interpolation blurs the borders of classes alone
    assert (new.labels != cell_with_nuclei).mean() > 0.1


def test_a_bent_grid_folds_nowhere():
    field = bend((64, 64), grid=20, deviation=8.0, rng=np.random.default_rng(0))
    down, right = np.gradient(field, axis=(1, 2))  # (2, H, W) each
    area = (1 + down[0]) * (1 + right[1]) - down[1] * right[0]  # the map's Jacobian determinant
    assert area.min() > 0
    assert 4 < field.std() < 16  # pixels


def test_cells_do_not_grow_together():
    labels = cells(128, cell=11, membrane=1)
    merged = []
    for seed in range(5):
        places = vary(labels, VariationOptions(), np.random.default_rng(seed)).places
        regions = np.where(labels == 0, number_regions(labels), 0)

        def crossings(classes, regions=regions, places=places):
            """Places where two cells touch, at corners too."""
            numbers = take(regions, places)
            cell = classes == 0
            pairs = (
                (np.s_[1:], np.s_[:-1]),
                (np.s_[:, 1:], np.s_[:, :-1]),
                (np.s_[1:, 1:], np.s_[:-1, :-1]),
                (np.s_[1:, :-1], np.s_[:-1, 1:]),
            )
            return sum(
                int(((numbers[a] != numbers[b]) & cell[a] & cell[b]).sum()) for a, b in pairs
            )

        merged.append(crossings(take(labels, places)))
        assert crossings(read_apart(labels, places)) == 0
    assert min(merged) > 0  # reading alone loses membranes that are a pixel thin


def test_organelles_stay_inside_their_host(cell_with_nuclei):
    options = replace(STILL, objects=(2,), move=0.6, remove=0.2, insert=1.0)
    library = find_objects(cell_with_nuclei, [2])
    counts = np.zeros(3, int)
    for seed in range(10):
        new = vary(cell_with_nuclei, options, np.random.default_rng(seed), library)
        counts += new.moved, new.removed, new.inserted
        nuclei = new.labels == 2
        around = ndimage.binary_dilation(nuclei, iterations=2) & ~nuclei
        assert set(np.unique(new.labels[around])) <= {1}
        number = ndimage.label(nuclei)[1]
        assert number == 2 - new.removed + new.inserted
        assert np.array_equal(new.labels == 0, cell_with_nuclei == 0)
    assert counts.min() > 0


def test_a_mask_depends_on_its_generator_alone(cell_with_nuclei):
    options = VariationOptions(objects=(2,))
    before = cell_with_nuclei.copy()
    first, again, other = (
        vary(cell_with_nuclei, options, np.random.default_rng(seed)).labels for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(cell_with_nuclei, before)


def test_shares_beyond_the_whole_are_refused():
    with pytest.raises(OptionError, match="exceed 1"):
        VariationOptions(objects=(2,), move=0.7, remove=0.4).check()
