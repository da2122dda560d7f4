"""Distances between two sets of features: Frechet distance, KID, precision and recall.

No image, no network, no file enters here. The formulas and their sources are in docs/fid.md; n and
m are the numbers of samples of two sets, D is the number of dimensions.
"""

from typing import NamedTuple

import numpy as np

BLOCK = 2048  # rows of a kernel matrix computed at once
PRECISION_NEIGHBOURS = 3  # Kynkaanniemi et al. 2019
DENSITY_NEIGHBOURS = 5  # Naeem et al. 2020
# Defaults of KID, as published: images of a subset, subsets, and the seed that draws them.
SUBSET_SIZE, SUBSET_COUNT, SUBSET_SEED = 1000, 100, 42


def require_spread(count: int, found: str) -> None:
    """Raise ValueError for fewer than two images: the covariance divides by n - 1.

    Args:
        count: number of images.
        found: source and number of the images, for the message.
    """
    if count < 2:
        raise ValueError(f"{found}, expected at least two: one image has no spread to compare")


class Statistics:
    """Count, mean and covariance of features, collected batch by batch.

    Up to D samples, the samples themselves are kept. They take less memory than a covariance, and
    the Frechet distance from them is exact. Beyond D, only their mean and scatter are kept.

    Args:
        keep_features: keep the samples beyond D too, as float32 (KID and `scarce` need them).
    Attributes:
        count: samples so far.
        mu: their mean, (D,) float64.
    """

    def __init__(self, keep_features: bool = False):
        self.keep_features = keep_features
        self.count = 0
        self.mu = None
        self._scatter = None  # (D, D), sum of outer products around the mean
        self._batches = []  # features, until there are too many

    def update(self, features: np.ndarray) -> None:
        """Add features (N, D)."""
        n, dimensions = features.shape
        mean = features.mean(axis=0, dtype=np.float64)  # (D,), of this batch
        difference = mean - (0 if self.mu is None else self.mu)
        total = self.count + n
        # Beyond D samples, only sums are updated; up to there, all samples are at hand.
        if self._scatter is None:
            self._batches.append(features)
        else:  # Chan et al. 1983: no cancellation, unlike a sum of squares
            centred = features - mean
            between = np.outer(difference, difference) * (self.count * n / total)
            self._scatter += centred.T @ centred + between
        self.mu = mean if self.mu is None else self.mu + difference * (n / total)
        self.count = total
        if self._scatter is None and total > dimensions and not self.keep_features:
            centred = self.features - self.mu  # (n, D) float64, as `mu` is
            self._scatter, self._batches = centred.T @ centred, []

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which `from_state` makes the same statistics."""
        if self._batches:
            return {"features": self.features}
        return {"count": self.count, "mu": self.mu, "scatter": self._scatter}

    @classmethod
    def from_state(
        cls, state: dict[str, np.ndarray], keep_features: bool = False
    ) -> "Statistics | None":
        """Statistics from `state`; None where features are wanted but `state` has moments alone."""
        statistics = cls(keep_features)
        if "features" in state:
            statistics.update(state["features"])
            return statistics
        if keep_features:
            return None
        statistics.count, statistics.mu = int(state["count"]), state["mu"]
        statistics._scatter = state["scatter"]
        return statistics

    @property
    def features(self) -> np.ndarray | None:
        """All features (n, D) as they came, or None where only their moments were kept."""
        return np.concatenate(self._batches) if self._batches else None

    @property
    def cov(self) -> np.ndarray:
        """Sample covariance (D, D), divided by n - 1."""
        if self._scatter is None:
            centred = self.features - self.mu
            return centred.T @ centred / (self.count - 1)
        return self._scatter / (self.count - 1)

    def root(self) -> np.ndarray:
        """A matrix R with R^T R = cov, (n, D) for n up to D, else (D, D).

        R is made of the centred samples where they are few; otherwise it is a triangular root, or
        one from eigenvalues.

        Raises:
            ValueError: fewer than two samples.
        """
        require_spread(self.count, f"{self.count} image(s)")
        if self._batches and self.count <= len(self.mu):  # rank deficient: no triangular root
            return (self.features - self.mu) / np.sqrt(self.count - 1)
        cov = self.cov
        try:
            return np.linalg.cholesky(cov).T
        except np.linalg.LinAlgError:  # a dimension that never varies
            values, vectors = np.linalg.eigh(cov)
            return np.sqrt(values.clip(0))[:, None] * vectors.T


def statistics_of(features: np.ndarray) -> Statistics:
    """Statistics of features (n, D) that are there already."""
    statistics = Statistics(keep_features=True)
    statistics.update(features)
    return statistics


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians (Heusel et al. 2017, Eq. 6).

    The closed form is that of Dowson & Landau 1982. For any roots S = R^T R, tr (S1 S2)^(1/2) is
    the sum of the singular values of R1 R2^T. That product has no more rows and columns than there
    are samples, is never complex, and stays exact where S1 S2 is singular.
    """
    roots = first.root(), second.root()  # (at most D, D) each
    traces = sum(np.sum(root**2) for root in roots)  # tr R^T R = |R|^2
    singular_values = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False)
    difference = first.mu - second.mu  # (D,)
    return float(difference @ difference + traces - 2 * singular_values.sum())


class Kid(NamedTuple):
    """A kernel distance and how it was computed.

    Attributes:
        value: unbiased estimate, may be below 0; not multiplied by anything.
        standard_error: None where it cannot be told.
        subset_size: images of each set in one estimate; None where all were used at once.
        subset_count: estimates that were averaged.
    """

    value: float
    standard_error: float | None
    subset_size: int | None
    subset_count: int


def kid(
    real: np.ndarray,
    generated: np.ndarray,
    subset_size: int = SUBSET_SIZE,
    subset_count: int = SUBSET_COUNT,
    seed: int = SUBSET_SEED,
) -> Kid:
    """Kernel distance (Binkowski et al. 2018) between features (n, D) and (m, D).

    The kernel is (x.y / D + 1)^3. Two sets above `subset_size` give the mean over random subsets
    and its standard error, as published. For smaller sets all subsets would be the same set: they
    give the exact unbiased estimate over all samples, with the standard error of the jackknife.
    """
    if min(len(real), len(generated)) <= subset_size:  # a subset would be the whole smaller set
        return Kid(*unbiased_mmd(real, generated), None, 1)
    rng = np.random.default_rng(seed)
    estimates = []
    for _ in range(subset_count):  # real first, then generated: the published order of draws
        chosen_real = real[rng.choice(len(real), subset_size, replace=False)]
        chosen_generated = generated[rng.choice(len(generated), subset_size, replace=False)]
        estimates.append(unbiased_mmd(chosen_real, chosen_generated)[0])
    error = float(np.std(estimates, ddof=1) / np.sqrt(subset_count)) if subset_count > 1 else None
    return Kid(float(np.mean(estimates)), error, subset_size, subset_count)


def unbiased_mmd(x: np.ndarray, y: np.ndarray) -> tuple[float, float | None]:
    """Unbiased squared maximum mean discrepancy of (n, D) and (m, D), and its standard error.

    The estimate is Eq. 3 of Gretton et al. 2012. The error is the jackknife's: it errs on the safe
    side (Efron & Stein 1981), by a factor of up to 1.4 where the sets do not differ, and is None
    for sets of two.

    Raises:
        ValueError: fewer than two samples in a set.
    """
    # Sums of millions of cubes that nearly cancel: float32 would leave noise.
    x, y = x.astype(np.float64), y.astype(np.float64)
    n, m = len(x), len(y)
    require_spread(min(n, m), f"{n} and {m} images")
    xx = _kernel_sums(x, x) - _self_kernels(x)  # (n,), each sample with all others of its set
    yy = _kernel_sums(y, y) - _self_kernels(y)  # (m,)
    xy, yx = _kernel_sums(x, y), _kernel_sums(y, x)  # (n,), (m,)
    within_x, within_y = xx.sum() / (n * (n - 1)), yy.sum() / (m * (m - 1))
    cross = xy.sum() / (n * m)
    value = within_x + within_y - 2 * cross
    if min(n, m) < 3:  # without one of two samples no pair is left
        return float(value), None
    # The estimate without one sample: its row and its column of the kernel matrix go.
    within_fewer_x = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2))
    without_x = within_fewer_x + within_y - 2 * (xy.sum() - xy) / ((n - 1) * m)  # (n,)
    within_fewer_y = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2))
    without_y = within_x + within_fewer_y - 2 * (xy.sum() - yx) / (n * (m - 1))  # (m,)
    # The jackknife of two independent sets: (n - 1) / n times the sum of squares, for each.
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    return float(value), float(np.sqrt(variance))


def _kernel(dots, dimensions):
    """(x.y / D + 1)^3 of dot products."""
    return (dots / dimensions + 1) ** 3


def _self_kernels(x):
    """Kernel of each sample with itself, (n,)."""
    return _kernel((x * x).sum(axis=1), x.shape[1])


def _kernel_sums(x, y):
    """Sum of each row of the kernel matrix, (n,)."""
    # In blocks of rows: the whole matrix of 50,000 samples would take 20 GB.
    return np.concatenate(
        [_kernel(x[i : i + BLOCK] @ y.T, x.shape[1]).sum(axis=1) for i in range(0, len(x), BLOCK)]
    )


def manifold_scores(real: np.ndarray, generated: np.ndarray) -> dict[str, float | None]:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    A score is None where a set has no more samples than the neighbours that the score looks at. All
    n x m distances are in memory at once.
    """
    cross = distances(real, generated)  # (n, m)
    result = dict.fromkeys(("precision", "recall", "density", "coverage"))
    if min(cross.shape) > PRECISION_NEIGHBOURS:
        # Entry (i, j): whether generated sample j lies in the ball around real sample i.
        in_real = cross <= _radii(real, PRECISION_NEIGHBOURS)[:, None]  # (n, m)
        # The other way round: the balls are those of the generated samples.
        in_generated = cross <= _radii(generated, PRECISION_NEIGHBOURS)[None]  # (n, m)
        result["precision"] = float(in_real.any(axis=0).mean())
        result["recall"] = float(in_generated.any(axis=1).mean())
    # Density and coverage look at balls around real samples only, which outliers among the
    # generated ones cannot widen.
    if len(real) > DENSITY_NEIGHBOURS:
        inside = cross <= _radii(real, DENSITY_NEIGHBOURS)[:, None]
        result["density"] = float(inside.sum(axis=0).mean() / DENSITY_NEIGHBOURS)
        result["coverage"] = float(inside.any(axis=1).mean())
    return result


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances of (n, D) and (m, D), (n, m) float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    # |x - y|^2 = |x|^2 + |y|^2 - 2 x.y: one matrix product instead of n m differences.
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None] - 2 * x @ y.T
    return np.sqrt(squares.clip(0))  # rounding may give less than 0 for equal samples


def _radii(features, neighbours):
    """Distance of each sample to its k-th nearest neighbour in its own set, (n,)."""
    apart = distances(features, features)  # (n, n)
    # Place 0 is the sample itself, so place k is the k-th neighbour.
    return np.partition(apart, neighbours, axis=1)[:, neighbours]
