"""Names that notebooks import from the published scripts."""

import numpy as np
import pytest

from fid import compute_cem_fid, compute_normal_fid
from fid.compute_cem_fid import MODEL_CONFIGS, compute_fid


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 5)), rng.standard_normal((30, 5)) * 2 + 1


def moments(features):
    return features.mean(axis=0), np.cov(features, rowvar=False)


def test_both_forms_are_the_same_distance(features):
    real, generated = features
    expected = compute_fid(*moments(real), *moments(generated))
    assert compute_fid(real, generated) == pytest.approx(expected, rel=1e-9)
    assert compute_fid(real, real) == pytest.approx(0, abs=1e-9)


def test_equal_covariances_leave_the_distance_of_the_means():
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert compute_fid([0, 0], cov, [3, 4], cov) == pytest.approx(25)


@pytest.mark.parametrize(
    "shapes",
    [[(4, 3)], [(4, 3), (4, 2)], [(3,), (3, 3), (3,), (2, 2)], [(3,), (2, 3), (3,), (2, 3)]],
)
def test_other_arrays_are_refused(shapes):
    with pytest.raises(ValueError, match="compute_fid: found arrays of the shapes"):
        compute_fid(*map(np.ones, shapes))


def test_configurations_by_the_published_names():
    assert MODEL_CONFIGS.keys() == {"cem500k", "cem1.5m"}
    facts = MODEL_CONFIGS["cem1.5m"]
    assert (facts["mean"], facts["std"], facts["image_size"]) == (0.575710, 0.127650, 224)
    assert facts["filename"] == "cem15m_swav_resnet50_200ep.pth.tar"
    assert "6453160" in facts["url"] and "6453140" in MODEL_CONFIGS["cem500k"]["url"]


def test_both_scripts_have_the_distance():
    assert compute_cem_fid.compute_fid is compute_normal_fid.compute_fid
