"""Scores of two sets whose distances are known by hand."""

import numpy as np
import pytest
import torch

from core.command_line.options import OptionError
from fid.distances import Statistics, kid
from fid.options import FidScoreOptions
from fid.scarce import FEW_IMAGES
from fid.scoring import compare


@pytest.fixture
def features():
    """(2 FEW_IMAGES, 3): as many samples as mirrored ones, so that the mean is 0."""
    half = torch.from_numpy(np.random.default_rng(0).normal(size=(FEW_IMAGES, 3))).float()
    return torch.cat([half, -half])


def statistics(features, keep=False):
    result = Statistics(keep)
    result.update(features.numpy())
    return result


def test_equal_covariances_leave_the_squared_distance_of_the_means(features):
    moved = statistics(features + torch.tensor([3.0, 0.0, 4.0]))
    result = compare(statistics(features), moved, FidScoreOptions())
    assert result["fid"] == pytest.approx(25, rel=1e-4)
    assert result["num_real"] == result["num_generated"] == 2 * FEW_IMAGES
    assert result.keys() == {"fid", "num_real", "num_generated"}


def test_scores_that_are_asked_for_are_added(features):
    some, others = statistics(features[:2100], True), statistics(features[-2100:], True)
    options = FidScoreOptions(compute_kid=True, kid_subset_size=50, kid_subset_count=3)
    assert compare(some, others, options)["kid_subset_count"] == 3
    few = statistics(features[:40], True)
    result = compare(few, few, FidScoreOptions(compute_prdc=True, bootstrap=2))
    assert result["fid"] == pytest.approx(0, abs=1e-6) and result["scarce"]
    assert result["precision"] == result["recall"] == result["coverage"] == 1
    assert "kid" in result  # always, with few images


@pytest.mark.parametrize(
    ("options", "counts", "expected"),
    [
        (FidScoreOptions(), (FEW_IMAGES, FEW_IMAGES), False),
        (FidScoreOptions(), (FEW_IMAGES, FEW_IMAGES - 1), True),
        (FidScoreOptions(compute_kid=True), (10**6, 10**6), True),
        (FidScoreOptions(compute_prdc=True), (10**6, 10**6), True),
    ],
)
def test_features_are_kept_where_a_score_needs_them(options, counts, expected):
    assert options.need_features(*counts) == expected


@pytest.mark.parametrize("options", [{"kid_subset_size": 1}, {"bootstrap": 1}])
def test_numbers_without_spread_are_refused(options):
    with pytest.raises(OptionError, match="1, expected at least 2"):
        FidScoreOptions(**options).check()


def test_a_set_of_one_image_has_no_kernel_distance(features):
    with pytest.raises(ValueError, match="1 and 5 images, expected at least two"):
        kid(features[:1].numpy(), features[:5].numpy())
