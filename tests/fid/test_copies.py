"""Near-copies: the nearest sample, the limit, and correlations of turned pictures."""

import numpy as np
import pytest

from fid.copies import copy_distance, correlation, nearest


def test_nearest_and_limit_by_hand():
    training = np.array([[0.0], [1], [3], [10]])  # to their nearest: 1, 1, 2, 7
    index, apart = nearest(np.array([[2.9], [7]]), training)
    assert index.tolist() == [2, 3] and apart == pytest.approx([0.1, 3], abs=1e-6)
    assert copy_distance(training, 0.0) == 1 and copy_distance(training, 1.0) == 7


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x,
        lambda x: np.rot90(x, 1),
        lambda x: np.rot90(x[:, ::-1], 3),
        lambda x: x[::-1],
        lambda x: 0.5 * x + 0.1,
    ],
)
def test_correlation_sees_turned_and_darker_copies(turn):
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.random((8, 8)), np.ones((16, 16)))
    pixels = np.repeat(blocks[..., None], 3, axis=2)
    assert correlation(pixels, turn(pixels)) > 0.99
    other = np.repeat(np.kron(rng.random((8, 8)), np.ones((16, 16)))[..., None], 3, axis=2)
    assert correlation(pixels, other) < 0.6
