"""The noise schedule against its formula."""

import numpy as np
import pytest

from ldm.modules.diffusionmodules.schedule import make_betas


def test_betas_are_even_in_their_root():
    betas = make_betas(1000, 0.00085, 0.012)
    assert betas.dtype == np.float64 and betas.shape == (1000,)
    assert betas[0] == pytest.approx(0.00085) and betas[-1] == pytest.approx(0.012)
    assert np.diff(np.sqrt(betas)) == pytest.approx((0.012**0.5 - 0.00085**0.5) / 999)
