"""Distances against closed forms, scipy, and two published implementations on the same features."""

import numpy as np
import pytest
import scipy.linalg
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_mmd
from torch_fidelity.metric_prc import calculate_precision_recall_full

from fid.distances import (
    Statistics,
    frechet_distance,
    kid,
    manifold_scores,
    statistics_of,
    unbiased_mmd,
)

KERNEL = {
    "kid_kernel": "poly",
    "kid_kernel_poly_degree": 3,
    "kid_kernel_poly_gamma": None,
    "kid_kernel_poly_coef0": 1,
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def two_sets(rng, n, m, dimensions):
    mixing = rng.standard_normal((dimensions, dimensions)) / np.sqrt(dimensions)
    return rng.standard_normal((n, dimensions)), rng.standard_normal((m, dimensions)) @ mixing + 0.3


def by_sqrtm(x, y):
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root.real)


def with_covariance(rng, n, mu, cov):
    """n samples whose mean and covariance are exactly these."""
    x = rng.standard_normal((n, len(mu)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(cov).T + mu


@pytest.mark.parametrize(("n", "m"), [(200, 300), (500, 90)])
def test_distance_is_that_of_sqrtm_and_of_two_published_implementations(rng, n, m):
    x, y = two_sets(rng, n, m, 32)
    distance = frechet_distance(statistics_of(x), statistics_of(y))
    moments = [(some.mean(0), np.cov(some, rowvar=False)) for some in (x, y)]
    torch_fidelity = fid_statistics_to_metric(
        *({"mu": mu, "sigma": cov} for mu, cov in moments), verbose=False
    )
    for other in (
        by_sqrtm(x, y),
        calculate_frechet_distance(*moments[0], *moments[1]),
        torch_fidelity["frechet_inception_distance"],
    ):
        assert distance == pytest.approx(other, rel=1e-6)


def test_gaussians_with_a_known_distance(rng):
    dimensions = 6
    a, b = np.diag(np.arange(1.0, 7)), np.diag(np.arange(2.0, 8))
    first = statistics_of(with_covariance(rng, 50, np.zeros(dimensions), a))
    second = statistics_of(with_covariance(rng, 40, np.full(dimensions, 0.5), b))
    expected = dimensions * 0.25 + ((np.sqrt(np.diag(a)) - np.sqrt(np.diag(b))) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_equal_covariances_leave_the_distance_of_the_means(rng):
    x = rng.standard_normal((30, 100))
    shift = rng.standard_normal(100)
    assert frechet_distance(statistics_of(x), statistics_of(x + shift)) == pytest.approx(
        shift @ shift, rel=1e-9
    )


def test_few_samples_in_many_dimensions_are_exact(rng):
    """Rank-deficient: in the space that both sets span, the same distance is one of full rank."""
    small_x, small_y = two_sets(rng, 60, 50, 12)
    embedding = np.linalg.qr(rng.standard_normal((300, 12)))[0].T  # rows are orthonormal
    few = frechet_distance(statistics_of(small_x @ embedding), statistics_of(small_y @ embedding))
    assert few == pytest.approx(by_sqrtm(small_x, small_y), rel=1e-6)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_a_set_against_itself_is_zero(rng, n):
    x = rng.standard_normal((n, 64)) * np.geomspace(1, 1e-6, 64) * 30
    same = Statistics()
    same.update(x)
    assert abs(frechet_distance(same, same)) < 1e-6
    assert abs(frechet_distance(statistics_of(x), same)) < 1e-6  # samples against moments


def test_a_dimension_that_never_varies(rng):
    x, y = two_sets(rng, 200, 200, 16)
    x[:, 3] = y[:, 3] = 1.0
    rest = np.delete(np.arange(16), 3)
    distance = frechet_distance(statistics_of(x), statistics_of(y))
    assert distance == pytest.approx(by_sqrtm(x[:, rest], y[:, rest]), rel=1e-6)


def test_one_sample_has_no_distance(rng):
    with pytest.raises(ValueError, match="1 image"):
        frechet_distance(
            statistics_of(rng.standard_normal((1, 8))), statistics_of(rng.standard_normal((5, 8)))
        )


@pytest.mark.parametrize("keep", [False, True])
def test_batches_make_the_statistics_of_the_whole(rng, keep):
    x = (rng.standard_normal((100, 16)) + 1e4).astype(
        np.float32
    )  # far from 0: sums of squares would cancel
    statistics = Statistics(keep)
    for start in range(0, 100, 7):
        statistics.update(x[start : start + 7])
    assert statistics.count == 100
    np.testing.assert_allclose(statistics.mu, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(
        statistics.cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-7, atol=1e-9
    )
    assert (statistics.features is not None) == keep


def test_statistics_keep_samples_only_while_they_are_fewer_than_dimensions(rng):
    statistics = Statistics()
    statistics.update(rng.standard_normal((16, 16)))
    assert statistics.features is not None
    statistics.update(rng.standard_normal((1, 16)))
    assert statistics.features is None


@pytest.mark.parametrize("n", [10, 40])
def test_state_makes_the_same_statistics(rng, n):
    statistics = Statistics()
    statistics.update(rng.standard_normal((n, 16)))
    again = Statistics.from_state(statistics.state())
    assert again.count == n
    np.testing.assert_array_equal(again.cov, statistics.cov)
    assert (Statistics.from_state(statistics.state(), keep_features=True) is None) == (n == 40)


def test_kid_of_a_subset_is_torch_fidelitys(rng):
    x, y = two_sets(rng, 40, 40, 20)
    assert unbiased_mmd(x, y)[0] == pytest.approx(kernel_mmd(x, y, **KERNEL), rel=1e-9)


def test_kid_averages_the_published_subsets(rng):
    x, y = two_sets(rng, 60, 70, 20)
    score = kid(x, y, subset_size=30, subset_count=5, seed=42)
    draws = np.random.default_rng(42)
    estimates = [
        kernel_mmd(
            x[draws.choice(60, 30, replace=False)], y[draws.choice(70, 30, replace=False)], **KERNEL
        )
        for _ in range(5)
    ]
    assert score.value == pytest.approx(np.mean(estimates), rel=1e-9)
    assert score.standard_error == pytest.approx(np.std(estimates, ddof=1) / np.sqrt(5), rel=1e-9)
    assert (score.subset_size, score.subset_count) == (30, 5)
    assert kid(x, y, 30, 1).standard_error is None


def test_small_sets_are_used_whole(rng):
    """The double sums of Gretton et al. 2012, Eq. 3, written out."""
    x, y = two_sets(rng, 7, 9, 5)
    k = lambda a, b: (a @ b / 5 + 1) ** 3  # noqa: E731
    within = [
        np.mean([k(some[i], some[j]) for i in range(len(some)) for j in range(len(some)) if i != j])
        for some in (x, y)
    ]
    expected = sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])
    score = kid(x, y, subset_size=1000)
    assert score.value == pytest.approx(expected, rel=1e-9)
    assert (score.subset_size, score.subset_count) == (None, 1)
    assert kid(x[:2], y).standard_error is None


def test_kid_is_unbiased_and_its_standard_error_is_its_spread(rng):
    scores = [
        unbiased_mmd(rng.standard_normal((100, 8)), rng.standard_normal((120, 8)) * 1.3)
        for _ in range(300)
    ]
    far = unbiased_mmd(rng.standard_normal((4000, 8)), rng.standard_normal((4000, 8)) * 1.3)[0]
    values, errors = np.array(scores).T
    assert values.mean() == pytest.approx(far, abs=4 * values.std() / np.sqrt(300))
    assert (
        0.9 < np.sqrt((errors**2).mean()) / values.std() < 1.5
    )  # from 1 where sets differ to 2 ** 0.5 where they do not


def test_large_kernels_are_summed_in_blocks(rng, monkeypatch):
    x, y = two_sets(rng, 30, 25, 6)
    whole = unbiased_mmd(x, y)
    monkeypatch.setattr("fid.distances.BLOCK", 4)
    assert unbiased_mmd(x, y) == pytest.approx(whole, rel=1e-12)


def test_precision_and_recall_are_torch_fidelitys(rng):
    x, y = two_sets(rng, 80, 70, 4)
    scores = manifold_scores(x, y)
    theirs = calculate_precision_recall_full(
        torch.from_numpy(y), torch.from_numpy(x), neighborhood=3
    )
    assert 0.05 < scores["precision"] < 0.95
    assert (scores["precision"], scores["recall"]) == pytest.approx(theirs, abs=1e-6)


def test_density_and_coverage_by_hand():
    # Radii of five neighbours: 5, 4, 3, 3, 4, 5, 99
    real = np.array([0.0, 1, 2, 3, 4, 5, 100])[:, None]
    scores = manifold_scores(real, np.array([2.5, 200, 300, 400])[:, None])
    # 2.5 lies in all seven balls, the others in none.
    assert scores["density"] == pytest.approx((7 / 5) / 4)
    assert scores["coverage"] == 1.0
    assert manifold_scores(real[:3], real[:3])["precision"] is None
