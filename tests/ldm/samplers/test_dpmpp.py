"""DPM-Solver++ on a Gaussian whose probability flow is known in closed form."""

import numpy as np
import pytest
import torch

from ldm.samplers import ddim, dpmpp
from ldm.samplers.dpmpp import dpmpp_timesteps, half_log_snr
from ldm.samplers.noise import draw_noise
from tests.analytic import GaussianModel, rms

ABAR = GaussianModel().alphas_cumprod.numpy()
SHAPE = (1, 1, 1)
X_T = torch.randn(1000, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def sample(sampler, model, steps, x_T=X_T):
    return sampler.sample(model.predict_eps, x_T, ABAR, steps)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 27, 50, 600, 999])
def test_timesteps_descend_from_the_last_to_0(steps):
    timesteps = dpmpp_timesteps(steps, ABAR)
    assert timesteps[0] == 999 and timesteps[-1] == 0 and (np.diff(timesteps) < 0).all()
    assert len(timesteps) == steps + 1 if steps <= 20 else len(timesteps) <= steps + 1


def test_steps_are_even_in_the_logarithm_of_the_signal_to_noise_ratio():
    lambdas = half_log_snr(ABAR[dpmpp_timesteps(8, ABAR)])
    assert np.diff(lambdas) == pytest.approx(np.ptp(half_log_snr(ABAR)) / 8, rel=0.1)


@pytest.mark.parametrize("steps", [0, -1, 1000])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(ValueError, match=f"{steps} sampling steps, expected 1 to 999"):
        dpmpp_timesteps(steps, ABAR)


@pytest.mark.parametrize(("mu", "sd"), [(0.5, 0.1), (0.0, 1.5), (-1.0, 0.5), (2.0, 1.0)])
def test_20_steps_come_as_close_to_the_solution_as_50_of_ddim(mu, sd):
    model = GaussianModel(mu, sd)
    solution = sample(ddim, model, 1000)
    error = rms(sample(dpmpp, model, 20) - solution)
    assert error <= rms(sample(ddim, model, 50) - solution)


def test_second_order():
    """Twice the steps, a quarter of the error, against the closed form."""
    model = GaussianModel(0.0, 1.5)
    errors = [rms(sample(dpmpp, model, steps) - model.solution(X_T)) for steps in (10, 20, 40)]
    assert errors[0] / errors[1] > 3 and errors[1] / errors[2] > 3


def test_one_pass_per_step_and_none_at_the_last_timestep():
    model = GaussianModel()
    sample(dpmpp, model, 20)
    assert model.asked == dpmpp_timesteps(20, ABAR)[:-1].tolist()


def test_one_known_point_is_reached_in_any_number_of_steps():
    """For data that is one point, x_0 is always predicted right.

    The result is then that point and the starting noise, mixed as the schedule says.
    """
    model = GaussianModel(0.7, sd=0.0)
    for steps in (1, 2, 20, 300):
        expected = (
            ABAR[0] ** 0.5 * 0.7
            + (1 - ABAR[0]) ** 0.5 * (X_T - ABAR[-1] ** 0.5 * 0.7) / (1 - ABAR[-1]) ** 0.5
        )
        torch.testing.assert_close(sample(dpmpp, model, steps), expected)


def test_v_prediction_gives_the_same_samples():
    eps, v = (sample(dpmpp, GaussianModel(parameterization=name), 20) for name in ("eps", "v"))
    torch.testing.assert_close(v, eps)


def test_noise_belongs_to_the_sample():
    def draw(seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return sample(dpmpp, GaussianModel(), 5, draw_noise((len(seeds), 4, 2, 2), generators))

    assert torch.equal(draw([3, 4, 5])[1:2], draw([4]))
    assert not torch.equal(draw([3]), draw([4]))
