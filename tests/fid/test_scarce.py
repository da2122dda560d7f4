"""What is said about a distance from few images, on Gaussians whose true distance is known."""

import numpy as np
import pytest

from fid import scarce
from fid.distances import frechet_distance, statistics_of
from fid.scarce import report_scarcity

D = 16


def gaussians(n, m, shift=0.5, seed=0, dimensions=D):
    """Samples of two Gaussians of equal covariance, `dimensions * shift ** 2` apart."""
    rng = np.random.default_rng(seed)
    return statistics_of(rng.standard_normal((n, dimensions)) + 7), statistics_of(
        rng.standard_normal((m, dimensions)) + 7 + shift
    )


@pytest.mark.parametrize(("n", "m", "dimensions"), [(40, 60, 16), (60, 40, 16), (20, 30, 100)])
def test_resampling_starts_from_the_exact_distance(n, m, dimensions):
    real, generated = gaussians(n, m, dimensions=dimensions)
    resampler = scarce._Resampler(real.features, generated.features)
    assert resampler.distance(resampler.real, resampler.generated) == pytest.approx(
        frechet_distance(real, generated), abs=1e-6
    )
    i, j = (
        np.array([0, 3, 3, 5, 7, 9]),
        n + np.array([1, 1, 2, 8, 4]),
    )  # with repetitions, as a bootstrap has them
    expected = frechet_distance(
        statistics_of(real.features[i]), statistics_of(generated.features[j - n])
    )
    assert resampler.distance(i, j) == pytest.approx(expected, abs=1e-5)


def test_interval_is_somewhat_wider_than_the_distance_spreads():
    distances = [frechet_distance(*gaussians(60, 60, seed=seed)) for seed in range(100)]
    intervals = []
    for seed in range(10):
        sets = gaussians(60, 60, seed=seed)
        fid = frechet_distance(*sets)
        low, high = report_scarcity(*sets, fid, resamples=100, seed=0).fid_interval
        assert low < fid < high
        intervals.append(high - low)
    assert 1 < np.mean(intervals) / (2 * 1.96 * np.std(distances)) < 1.6


def test_extrapolation_comes_nearer_to_the_truth():
    truth = D * 0.5**2
    fids, infinities = [], []
    for seed in range(10):
        sets = gaussians(80, 80, seed=seed)
        fids.append(frechet_distance(*sets))
        infinities.append(report_scarcity(*sets, fids[-1], resamples=0, seed=0).fid_infinity)
    assert np.mean(fids) - truth > 1
    assert abs(np.mean(infinities) - truth) < 0.35 * (np.mean(fids) - truth)


def test_floor_compares_equal_numbers():
    report = report_scarcity(*gaussians(60, 40, shift=0), 1.0, resamples=0, seed=0)
    assert report.floor_size == 30
    assert report.floor_interval[0] <= report.floor_fid <= report.floor_interval[1]
    assert report.generated_fid_at_floor_size == pytest.approx(
        report.floor_fid, rel=0.25
    )  # both from the same distribution
    assert report_scarcity(*gaussians(60, 20), 1.0, 0, 0).floor_size == 20
    assert (
        report_scarcity(*gaussians(60, 60, shift=2), 1.0, 0, 0).generated_fid_at_floor_size
        > 3 * report.floor_fid
    )


def test_too_few_real_images_have_no_floor():
    report = report_scarcity(*gaussians(3, 10), 1.0, resamples=5, seed=0)
    assert report.floor_size == 1 and report.floor_fid is report.generated_fid_at_floor_size is None
    assert np.isfinite(report.fid_interval).all() and np.isfinite(report.fid_infinity)


def test_seed_fixes_everything_and_large_sets_are_thinned(monkeypatch):
    sets = gaussians(40, 30)
    assert (
        report_scarcity(*sets, 1.0, 5, seed=1)
        == report_scarcity(*sets, 1.0, 5, seed=1)
        != report_scarcity(*sets, 1.0, 5, seed=2)
    )
    monkeypatch.setattr(scarce, "MAX_RESAMPLED", 10)
    assert report_scarcity(*sets, 1.0, 0, seed=1).floor_size == 5
