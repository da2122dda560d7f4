"""Grain that is measured on images whose noise is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from microscope.grain import BANDS, LEVELS, TILE, local_level
from microscope.grain_fit import (
    FEWEST_PIXELS,
    band_power,
    fit_grain,
    lag_one,
    mean_spectrum,
    measure_missing,
)

CORRELATION = 0.62, 0.09  # of neighbours along x and along y, as scanning microscopes have it
SIDE = 256  # pixels


def hump(level):
    """Deviation of the known noise at a grey level."""
    return 0.03 + 0.05 * np.exp(-(((level - 0.5) / 0.2) ** 2))


def coloured_noise(rng):
    """Autoregressive noise of unit variance without slow changes, (SIDE, SIDE)."""
    vertical, horizontal = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)
    power = np.hypot(vertical, horizontal) >= BANDS[0]
    for rho, frequency in zip(CORRELATION, (horizontal, vertical), strict=True):
        power = power / (1 + rho**2 - 2 * rho * np.cos(2 * np.pi * frequency))
    white = np.fft.fft2(rng.standard_normal((SIDE, SIDE)))
    return np.fft.ifft2(white * np.sqrt(power / power.mean())).real


def neighbours(noise):
    """Correlation of neighbours along x and along y."""
    square = (noise**2).mean()
    return (noise[:, 1:] * noise[:, :-1]).mean() / square, (noise[1:] * noise[:-1]).mean() / square


@pytest.fixture(scope="module")
def known():
    """Six smooth pictures of all grey levels, each with its noise of unit variance."""
    rng, pairs = np.random.default_rng(0), []
    for _ in range(6):
        smooth = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 16, mode="wrap")
        smooth = (0.5 + 0.2 * smooth / smooth.std()).clip(0.02, 0.98)
        pairs.append((smooth, coloured_noise(rng)))
    return pairs


@pytest.fixture(scope="module")
def grain(known):
    measured = [
        measure_missing(smooth + hump(local_level(smooth)) * noise, smooth)
        for smooth, noise in known
    ]
    return fit_grain(measured, len(known) * SIDE**2)


def test_strength_by_grey_level_comes_back_within_a_tenth(grain):
    strength = np.sqrt((np.array(grain.strengths) ** 2).sum(axis=0))
    np.testing.assert_allclose(strength, hump(LEVELS), rtol=0.1)
    np.testing.assert_allclose(grain.factors, 1, atol=0.03)  # all pictures have the same noise


def test_correlations_come_back(known, grain):
    expected = np.mean([neighbours(noise) for _, noise in known], axis=0)
    added = grain.add(np.full((SIDE, 3 * SIDE, 3), 0.5), 0)[..., 0] - 0.5
    np.testing.assert_allclose(neighbours(added), expected, atol=0.02)
    np.testing.assert_allclose(lag_one(mean_spectrum(added)), expected, atol=0.03)


def test_added_grain_has_the_measured_strength(grain):
    for level in (0.2, 0.5, 0.65):
        added = grain.add(np.full((SIDE, SIDE, 3), level), 1)[..., 0] - level
        assert added.std() == pytest.approx(hump(level), rel=0.1)


def test_white_noise_has_its_variance_in_the_bands():
    white = np.random.default_rng(0).normal(0.5, 0.1, (SIDE, SIDE))
    share = 1 - np.pi * BANDS[0] ** 2  # of all frequencies: a disc of slow ones is left out
    assert band_power(mean_spectrum(white)).sum() == pytest.approx(0.01 * share, rel=0.02)
    # Without its disc of slow changes, neighbours differ a little more than white ones.
    np.testing.assert_allclose(lag_one(mean_spectrum(white)), (1 - 1 / share) * 0.95, atol=0.01)


def test_pictures_with_more_noise_have_larger_factors(known):
    measured = [
        measure_missing(smooth + 0.04 * times * noise, smooth)
        for times, (smooth, noise) in zip((1, 1, 1, 2, 2, 2), known, strict=True)
    ]
    factors = np.array(fit_grain(measured, 1).factors)
    np.testing.assert_allclose(factors[3:] / factors[:3], 2, rtol=0.05)
    assert (factors**2).mean() == pytest.approx(1, abs=1e-4)


def test_a_picture_that_lacks_nothing_has_no_grain(known):
    (smooth, noise), *_ = known
    same = measure_missing(smooth, smooth)
    with pytest.raises(ValueError, match="no grain is missing"):
        fit_grain([same], 1)
    # More power than the image has is no grain either
    with pytest.raises(ValueError, match="no grain is missing"):
        fit_grain([measure_missing(smooth, smooth + 0.05 * noise)], 1)


def test_small_pictures_are_refused():
    small = np.random.default_rng(0).random((TILE, TILE))
    with pytest.raises(ValueError, match="80 x 63 pixels, expected at least 64"):
        measure_missing(np.zeros((TILE - 1, 80)), np.zeros((TILE - 1, 80)))
    assert FEWEST_PIXELS > measure_missing(small, small).counts.sum()
    with pytest.raises(ValueError, match="too few pixels"):
        fit_grain([measure_missing(small, small)], 1)
