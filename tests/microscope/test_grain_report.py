"""The table of grain, and the picture of it, for noise whose deviation is known."""

import numpy as np

from microscope.grain_report import KINDS, compare_spectra, draw_rows, mean_spectra


def noise(seed, deviation, size=256):
    """White noise around the middle grey, (size, size) in [0, 1]."""
    levels = np.random.default_rng(seed).normal(0, deviation / 255, (size, size))
    return (0.5 + levels).astype(np.float32)


def test_the_table_gives_deviations_and_correlations_of_white_noise():
    rows = [[noise(i, 10), np.full((256, 256), 0.5), noise(i, 20)] for i in range(3)]
    lines = compare_spectra(mean_spectra(rows)).splitlines()
    table = {kind: line.split()[-5:] for kind, line in zip(KINDS, lines[1:], strict=True)}
    real, flat, grainy = (np.array(table[kind], float) for kind in KINDS)
    # Three bands; what lies below them is 1 % of the plane of frequencies.
    np.testing.assert_allclose(np.hypot.reduce(real[:3]), 10, rtol=0.05)
    np.testing.assert_allclose(grainy[:3], 2 * real[:3], atol=0.1)
    assert (np.abs(real[3:]) < 0.05).all() and not flat[:3].any()


def test_the_picture_has_a_row_for_each_image_and_columns_for_the_kinds():
    height, width, channels = draw_rows([[noise(i, 5, 64)] * 3 for i in range(2)]).shape
    assert height > 2 * 64 and width >= 3 * 64 and channels == 3
