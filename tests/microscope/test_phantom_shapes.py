import numpy as np

from microscope.phantom_shapes import Noise, stripes


def test_noise_has_mean_0_and_deviation_1():
    values = np.concatenate(
        [Noise(np.random.default_rng(seed), 6).at(128, z=2.0).ravel() for seed in range(8)]
    )
    assert abs(values.mean()) < 0.05
    assert 0.85 < values.std() < 1.15


def test_stripes_are_distances():
    assert np.allclose(
        stripes(np.array([2.0, 2.5, 0.0, 6.0]), period=4, width=1), [-0.5, 0, 1.5, -0.5]
    )
