"""UniPC against the published implementation and on a Gaussian with a known solution."""

import numpy as np
import pytest
import torch

from ldm.samplers import dpmpp, unipc
from ldm.samplers.unipc import unipc_step, unipc_weights
from tests.analytic import GaussianModel, rms

ABAR = GaussianModel().alphas_cumprod.numpy()
X_T = torch.randn(500, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FEW_X_T = torch.tensor([-1.9, -0.6, 0.2, 1.1], dtype=torch.float64).view(4, 1, 1, 1)
# From diffusers 0.42.1, UniPCMultistepScheduler(solver_order=2, solver_type="bh2",
# lower_order_final=False) with our timesteps and their sigmas set; denoiser and x_T as here.
GOLDEN = {
    8: [-1.026206649975, -0.95710867188, 0.885060977361, 0.990468905923],
    20: [-1.026131397053, -0.955856175347, 0.881538599132, 0.990180893335],
}


def bent(x, t):
    """Noise predicted by a network whose x_0 is no straight line in x."""
    a, s = ABAR[t] ** 0.5, (1 - ABAR[t]) ** 0.5
    return (x - a * torch.tanh(2 * a * x)) / s


def sample(sampler, model, steps):
    return sampler.sample(model.predict_eps, X_T, ABAR, steps)


@pytest.mark.parametrize("steps", GOLDEN)
def test_numbers_of_another_implementation(steps):
    """Equal to 1e-9; DPM-Solver++ is off by more than 1e-4 here."""
    expected = torch.tensor(GOLDEN[steps], dtype=torch.float64).view(4, 1, 1, 1)
    found = unipc.sample(bent, FEW_X_T, ABAR, steps)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert (dpmpp.sample(bent, FEW_X_T, ABAR, steps) - expected).abs().max() > 1e-4


def test_third_order():
    """Twice the steps, less than a fifth of the error, and at 20 half of that of DPM-Solver++."""
    model = GaussianModel(0.0, 1.5)
    solution = model.solution(X_T)
    errors = [rms(sample(unipc, model, steps) - solution) for steps in (10, 20, 40)]
    assert errors[0] / errors[1] > 5 and errors[1] / errors[2] > 5
    assert errors[1] < 0.5 * rms(sample(dpmpp, model, 20) - solution)


def test_a_step_is_exact_for_x_0_that_is_quadratic_in_lambda():
    """Two points beside the first one fix the parabola, and the update integrates it exactly."""
    abar = np.array([0.2, 0.5, 0.8])  # before, beginning and end of the step
    lambdas = dpmpp.half_log_snr(abar)
    x_0 = 0.3 + 0.5 * lambdas - 0.2 * lambdas**2
    found = unipc_step(1.0, x_0[1], [(abar[0], x_0[0]), (abar[2], x_0[2])], abar[1], abar[2])
    # d(x / sigma) = e^lambda x_0 dlambda (Lu et al. 2022, Eq. 8), by the trapezoidal rule
    grid = np.linspace(lambdas[1], lambdas[2], 20001)
    integral = np.trapezoid(np.exp(grid) * (0.3 + 0.5 * grid - 0.2 * grid**2), grid)
    assert found == pytest.approx((0.2**0.5) * (1 / 0.5**0.5 + integral), abs=1e-8)


def test_one_weight_is_a_half():
    assert unipc_weights([0.7], 0.3).tolist() == [0.5]


def test_an_end_is_corrected_from_where_its_step_began():
    """Begun midway, the first step has no step before it to learn from."""
    model, count = GaussianModel(), 20
    timesteps = dpmpp.dpmpp_timesteps(count, ABAR)
    midway = model.solution(X_T, end=int(timesteps[12]))
    found = unipc.sample(model.predict_eps, midway, ABAR, count, first=12)
    assert rms(found - model.solution(X_T)) < 2e-3
    assert model.asked == timesteps[12:-1].tolist()
