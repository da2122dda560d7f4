"""Names that notebooks import from the published scripts."""

import numpy as np

from fid.backbones import BACKBONES, CEM
from fid.distances import Statistics, frechet_distance, statistics_of


def _facts(name: str) -> dict:
    """File, address and preprocessing of a backbone as plain values."""
    backbone = BACKBONES[name]
    return {
        "filename": backbone.weights.name,
        "url": backbone.weights.url,
        "image_size": backbone.preprocessing.size,
        "mean": backbone.preprocessing.mean[0],  # of grey levels in [0, 1]
        "std": backbone.preprocessing.std[0],
    }


# Differs from the published code: only the names of the backbones are known to be the same.
MODEL_CONFIGS = {name: _facts(name) for name in CEM}


def compute_fid(*sets: np.ndarray) -> float:
    """Frechet distance, `compute_fid(real, generated)` or `compute_fid(mu1, cov1, mu2, cov2)`.

    Args:
        sets: two arrays of features, (n, D) and (m, D), or means (D,) and covariances (D, D) of
            both sets.
    Raises:
        ValueError: the arrays are of neither form, or a set has fewer than two samples.
    """
    arrays = [np.asarray(array) for array in sets]
    dimensions = [array.ndim for array in arrays]
    widths = {size for array in arrays for size in array.shape[-1:]}
    if dimensions == [2, 2] and len(widths) == 1:
        return frechet_distance(*map(statistics_of, arrays))
    square = len(widths) == 1 and all(a.shape[0] == a.shape[-1] for a in arrays if a.ndim)
    if dimensions == [1, 2, 1, 2] and square:
        mu1, cov1, mu2, cov2 = arrays
        return frechet_distance(_from_moments(mu1, cov1), _from_moments(mu2, cov2))
    raise ValueError(
        f"compute_fid: found arrays of the shapes {[array.shape for array in arrays]}, expected "
        "(n, D) and (m, D), or (D,), (D, D), (D,) and (D, D)"
    )


def _from_moments(mu: np.ndarray, cov: np.ndarray) -> Statistics:
    """Statistics with this mean and covariance; of two samples, since the number drops out."""
    return Statistics.from_state({"count": 2, "mu": mu, "scatter": cov})
