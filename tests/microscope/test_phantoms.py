"""The phantom generator: repeatable, plausible classes, stacks of similar slices, safe command."""

import numpy as np
import pytest

from microscope.phantoms import (
    BACKGROUND,
    CYTOPLASM,
    NUCLEUS,
    draw_phantom,
    get_stack,
)


@pytest.fixture(scope="module")
def phantoms():
    """40 pairs: five stacks of eight slices."""
    return [draw_phantom(3, "train", index) for index in range(40)]


def test_a_phantom_depends_on_seed_split_and_index_alone():
    image, mask = draw_phantom(0, "val", 9)
    draw_phantom(0, "train", 3)  # what is drawn in between must not matter
    get_stack.cache_clear()
    again = draw_phantom(0, "val", 9)
    assert np.array_equal(image, again[0]) and np.array_equal(mask, again[1])
    for other in ((1, "val", 9), (0, "test", 9), (0, "val", 8), (0, "val", 17)):
        assert not np.array_equal(image, draw_phantom(*other)[0]), other


def test_first_slice_does_not_reuse_the_random_numbers_of_its_stack():
    """SeedSequence pads with zeros: [seed, split, stack] and [seed, split, stack, 0] are one."""
    stream = [np.random.default_rng([0, 0, 0, last]).random() for last in (0, 1)]
    assert np.random.default_rng([0, 0, 0]).random() == stream[0] != stream[1]


def test_neighbours_in_a_stack_are_more_alike_than_stacks(phantoms):
    masks = [mask for _, mask in phantoms]

    def disagreement(i, j):
        return np.mean(masks[i] != masks[j])

    neighbours = [disagreement(i, i + 1) for i in range(39) if i % 8 != 7]
    strangers = [disagreement(i, i + 8) for i in range(32)]
    assert min(neighbours) > 0  # they do change
    assert np.mean(neighbours) < 0.05
    assert np.mean(strangers) > 0.25
    assert max(neighbours) < min(strangers)


def test_pixels_and_classes(phantoms):
    for image, mask in phantoms:
        assert image.shape == mask.shape == (128, 128)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {BACKGROUND, CYTOPLASM, NUCLEUS}
        assert image.std() > 12


def test_nucleus_never_touches_background(phantoms):
    for _, mask in phantoms:
        for first, second in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert not ((first == NUCLEUS) & (second == BACKGROUND)).any()
            assert not ((first == BACKGROUND) & (second == NUCLEUS)).any()


def test_class_shares(phantoms):
    shares = np.array(
        [
            [np.mean(mask == label) for label in (BACKGROUND, CYTOPLASM, NUCLEUS)]
            for _, mask in phantoms
        ]
    )
    assert shares[:, BACKGROUND].min() > 0.2 and shares[:, BACKGROUND].max() < 0.6
    assert 0.25 < shares[:, BACKGROUND].mean() < 0.55
    assert shares[:, CYTOPLASM].min() > 0.15
    assert np.mean(shares[:, NUCLEUS] > 0.01) > 0.9


def test_grey_levels_alone_do_not_give_the_class(phantoms):
    """The best table from grey level to class errs on many pixels, yet resin is the brighter."""
    image, mask = (np.stack(arrays) for arrays in zip(*phantoms, strict=True))
    counts = np.stack(
        [
            np.bincount(image[mask == label], minlength=256)
            for label in (BACKGROUND, CYTOPLASM, NUCLEUS)
        ]
    )
    accuracy = counts.max(axis=0).sum() / counts.sum()
    assert 0.5 < accuracy < 0.85
    assert image[mask == BACKGROUND].mean() > image[mask == CYTOPLASM].mean() + 20


@pytest.mark.parametrize("index", [0, 13])
def test_other_sizes_show_the_same_cells(index):
    image, mask = draw_phantom(0, "train", index, 128)
    large_image, large_mask = draw_phantom(0, "train", index, 256)
    assert large_image.shape == large_mask.shape == (256, 256)
    assert np.mean(large_mask[::2, ::2] != mask) < 0.03
    smaller = large_image.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(smaller.ravel(), image.ravel())[0, 1] > 0.85
    assert draw_phantom(0, "train", index, 100)[0].shape == (100, 100)
