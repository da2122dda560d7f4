"""The noise schedule against its formula, and its formulas by hand."""

import numpy as np
import pytest
import torch

from ldm.modules.diffusionmodules.schedule import (
    add_noise,
    eps_of_v,
    in_float64,
    make_betas,
    predict_x0,
    v_of,
)


def test_betas_are_even_in_their_root():
    betas = make_betas(1000, 0.00085, 0.012)
    assert betas.dtype == np.float64 and betas.shape == (1000,)
    assert betas[0] == pytest.approx(0.00085) and betas[-1] == pytest.approx(0.012)
    assert np.diff(np.sqrt(betas)) == pytest.approx((0.012**0.5 - 0.00085**0.5) / 999)


def test_clean_noise_and_noisy_by_hand():
    """alpha-bar 0.36 has the roots 0.6 and 0.8: x_t = 0.6 x_0 + 0.8 eps, v = 0.6 eps - 0.8 x_0."""
    x_start, eps = 5.0, 10.0
    x_noisy, v = add_noise(x_start, eps, 0.6, 0.8), v_of(x_start, eps, 0.6, 0.8)
    assert (x_noisy, v) == (pytest.approx(11), pytest.approx(2))
    assert predict_x0(x_noisy, eps, 0.36) == pytest.approx(x_start)
    assert eps_of_v(x_noisy, v, 0.36) == pytest.approx(eps)


def test_in_float64_keeps_the_values_of_the_buffer():
    buffer = torch.tensor([0.9991, 0.3])
    exact = in_float64(buffer)
    assert exact.dtype == np.float64 and exact.tolist() == buffer.tolist() != [0.9991, 0.3]
