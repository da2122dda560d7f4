"""The worth of a Frechet distance from few images.

Three answers: the interval of the distance, its value extrapolated to infinitely many images, and
the distance of real images from each other. All of them resample the same features, so they work on
the dot products: one matrix holds the distance of every subset.
"""

from dataclasses import asdict, dataclass

import numpy as np
from tqdm import tqdm

from fid.distances import Statistics

# Below this number of images an FID is called biased. The authors of the FID ask for more images
# than the 2,048 dimensions of Inception's features, or the covariance is singular (Heusel et al.
# 2017, published code). The literature uses this number, so it is the same for any feature width.
FEW_IMAGES = 2048
MAX_RESAMPLED = 4096  # images of a set that are resampled; from a larger set that many are drawn
LEVEL = 95  # per cent of resamples that an interval covers
SPLITS = 20  # of the real set, for real against real
# FID-infinity: n / size of the subsets that the line is fitted to.
SHRINKAGES = np.linspace(1, 3, 9)
SUBSETS_PER_SIZE = 5  # drawn for each of these


@dataclass(frozen=True)
class ScarceReport:
    """Numbers that tell the worth of a distance from few images.

    Attributes:
        fid_interval: 95 % bootstrap interval of the distance.
        fid_infinity: the distance extrapolated to infinitely many images (Chong & Forsyth 2020); it
            may be below 0.
        floor_size: images of each set in the comparison below.
        floor_fid: mean distance of two halves of the real set, of that many images each; None where
            the real set has fewer than four images.
        floor_interval: the range of 95 % of these distances.
        generated_fid_at_floor_size: mean distance of as many generated from as many real images, to
            be compared with `floor_fid`.
    """

    fid_interval: tuple[float, float] | None
    fid_infinity: float
    floor_size: int
    floor_fid: float | None
    floor_interval: tuple[float, float] | None
    generated_fid_at_floor_size: float | None

    def fields(self) -> dict:
        """The report as a result file states it."""
        return asdict(self)


class _Resampler:
    """Frechet distances of any subsets of two sets, from the dot products of all their features."""

    def __init__(self, real: np.ndarray, generated: np.ndarray):
        pooled = np.concatenate([real, generated]).astype(np.float64)
        pooled -= pooled.mean(axis=0)  # a shift leaves distances as they are, and helps rounding
        self.dots = pooled @ pooled.T
        self.real, self.generated = np.arange(len(real)), np.arange(len(real), len(pooled))

    def distance(self, i: np.ndarray, j: np.ndarray) -> float:
        """Distance between the samples `i` and `j`, indices into both sets; repeats count.

        The singular values of the centred cross products are taken as roots of eigenvalues: three
        times faster, exact to about 1e-6 of the largest.
        """
        # Dot products within and across: (n, n), (m, m), (n, m). All else follows from them.
        xx, yy, xy = (self.dots[np.ix_(*rows)] for rows in ((i, i), (j, j), (i, j)))
        mean_xx, mean_yy = xx.mean(), yy.mean()  # |mu_x|^2, |mu_y|^2
        n, m = len(i), len(j)
        # tr S = (sum |x|^2 - n |mu|^2) / (n - 1)
        traces = (np.trace(xx) - n * mean_xx) / (n - 1) + (np.trace(yy) - m * mean_yy) / (m - 1)
        cross = xy - xy.mean(axis=0) - xy.mean(axis=1)[:, None] + xy.mean()  # both sets centred
        cross = cross if n <= m else cross.T  # the smaller of the two products with its transpose
        squares = np.linalg.eigvalsh(cross @ cross.T).clip(0)
        roots = np.sqrt(squares).sum() / np.sqrt((n - 1) * (m - 1))
        # |mu_x - mu_y|^2, then the traces.
        return mean_xx + mean_yy - 2 * xy.mean() + traces - 2 * roots


def report_scarcity(
    real: Statistics, generated: Statistics, fid: float, resamples: int, seed: int
) -> ScarceReport:
    """Judge the distance `fid` of two sets whose features were kept.

    Args:
        resamples: of the bootstrap; 0 leaves the interval out.
        seed: of all resampling.
    """
    rng = np.random.default_rng(seed)
    sets = [_at_most(statistics.features, rng) for statistics in (real, generated)]
    resampler = _Resampler(*sets)
    return ScarceReport(
        _bootstrap(resampler, fid, resamples, rng) if resamples else None,
        _infinity(resampler, rng),
        *_floor(resampler, rng),
    )


def _at_most(features, rng):
    """`features`, or `MAX_RESAMPLED` of them: the matrix of dot products grows with the square."""
    if len(features) <= MAX_RESAMPLED:
        return features
    return features[rng.choice(len(features), MAX_RESAMPLED, replace=False)]


def _bootstrap(resampler, fid, resamples, rng):
    """Interval of `fid`: both sets are drawn anew with replacement.

    A resample repeats samples, which adds to the distance as having fewer does. So only the spread
    around the resamples' mean is used.
    """
    distances = []
    for _ in tqdm(range(resamples), desc="bootstrap", unit="resample", leave=False):
        drawn = (rng.choice(some, len(some)) for some in (resampler.real, resampler.generated))
        distances.append(resampler.distance(*drawn))
    spread = np.array(distances) - np.mean(distances)
    return tuple(float(fid + edge) for edge in _range(spread))


def _range(values):
    """(low, high) that `LEVEL` per cent of the values lie between."""
    return np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])


def _infinity(resampler, rng):
    """Intercept of a line through distances over 1 / n; both sets shrink by the same share."""
    shrinkages, distances = [], []
    both = resampler.real, resampler.generated
    for shrinkage in SHRINKAGES:
        sizes = [max(2, round(len(some) / shrinkage)) for some in both]
        for _ in range(1 if shrinkage == 1 else SUBSETS_PER_SIZE):
            drawn = zip(both, sizes, strict=True)
            subsets = (rng.choice(some, size, replace=False) for some, size in drawn)
            shrinkages.append(shrinkage)
            distances.append(resampler.distance(*subsets))
    # 1 / size is proportional to the shrinkage. At 0 the sets would be infinite.
    return float(np.polyfit(shrinkages, distances, 1)[1])


def _floor(resampler, rng):
    """(size, mean, range, generated at that size), the last four fields of a `ScarceReport`.

    Halves of the real set are compared with each other, and one half with as many generated images.
    """
    size = min(len(resampler.real) // 2, len(resampler.generated))
    if size < 2:
        return size, None, None, None
    real, generated = [], []
    for _ in range(SPLITS):
        shuffled = rng.permutation(resampler.real)
        # Without replacement: shared images would make the halves look alike.
        half, other_half = shuffled[:size], shuffled[size : 2 * size]
        real.append(resampler.distance(half, other_half))
        drawn = rng.choice(resampler.generated, size, replace=False)
        generated.append(resampler.distance(half, drawn))
    return size, float(np.mean(real)), tuple(map(float, _range(real))), float(np.mean(generated))
