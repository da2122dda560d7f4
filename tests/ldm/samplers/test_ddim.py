"""DDIM: its timesteps, its step and its loop, on a Gaussian with known answers."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from ldm.samplers.ddim import (
    ascend,
    ddim_schedule,
    ddim_step,
    ddim_timesteps,
    descend,
    sample,
)
from tests.analytic import GaussianModel, rms

SHAPE = (4, 2, 2)
ABAR = GaussianModel().alphas_cumprod.numpy()
X_T = torch.randn(200, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


# Timesteps


@pytest.mark.parametrize(
    ("steps", "count", "last"),
    [
        (1, 1, 1),
        (3, 3, 667),
        (7, 8, 995),
        (9, 9, 889),
        (27, 27, 963),
        (600, 999, 999),
        (1000, 999, 999),
    ],
)
def test_awkward_numbers_of_steps(steps, count, last):
    timesteps = ddim_timesteps(steps, 1000)
    assert len(timesteps) == count and timesteps[0] == 1 and timesteps[-1] == last
    assert set(np.diff(timesteps)) <= {1000 // steps} and timesteps.dtype == np.int64
    model = GaussianModel()
    assert sample(model.predict_eps, X_T[:2], ABAR, steps).isfinite().all()
    assert model.asked == timesteps[::-1].tolist()


@pytest.mark.parametrize("steps", range(1, 1001, 37))
def test_every_timestep_is_one_of_the_schedule(steps):
    timesteps = ddim_timesteps(steps, 1000)
    assert timesteps.min() >= 1 and timesteps.max() <= 999 and len(timesteps) >= min(steps, 999)


@pytest.mark.parametrize("steps", [0, -5, 1001])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(ValueError, match=f"{steps} sampling steps, expected 1 to 1000"):
        ddim_timesteps(steps, 1000)


# One step


@pytest.mark.parametrize("abar_t", [0.999, 0.5, 0.005])
def test_given_the_true_noise_the_step_predicts_x_start(abar_t):
    x_start, noise = torch.randn(2, 3, *SHAPE, dtype=torch.float64)
    x_noisy = abar_t**0.5 * x_start + (1 - abar_t) ** 0.5 * noise
    x_next, pred_x0 = ddim_step(x_noisy, noise, abar_t, 1.0, 0.0, 0.0)
    torch.testing.assert_close(pred_x0, x_start)
    torch.testing.assert_close(x_next, x_start)  # abar_next = 1: no noise is left
    x_next, _ = ddim_step(x_noisy, noise, abar_t, 0.9995, 0.0, 0.0)
    torch.testing.assert_close(x_next, 0.9995**0.5 * x_start + 0.0005**0.5 * noise)


def test_the_variance_after_a_stochastic_step_is_that_of_the_schedule():
    """With independent noises, x_next has variance 1 - abar_next around its mean."""
    x_start, (noise, fresh) = (
        torch.tensor(2.0, dtype=torch.float64),
        torch.randn(2, 200_000, dtype=torch.float64),
    )
    abar_t, abar_next = 0.3, 0.6
    x_noisy = abar_t**0.5 * x_start + (1 - abar_t) ** 0.5 * noise
    for sigma_t in (0.0, 0.2, 0.4):
        x_next, _ = ddim_step(x_noisy, noise, abar_t, abar_next, sigma_t, fresh)
        assert x_next.mean().item() == pytest.approx(abar_next**0.5 * 2, abs=0.01)
        assert x_next.var().item() == pytest.approx(1 - abar_next, rel=0.02)


def test_the_example_of_style_is_the_step_itself():
    assert inspect.getsource(ddim_step) in Path("CONTRIBUTING.md").read_text()


# The loop


def test_the_loop_solves_the_flow_and_reports_each_step():
    model, seen = GaussianModel(), []
    schedule = ddim_schedule(500, ABAR, eta=0.0)
    final = descend(model.predict_eps, X_T, schedule, on_step=lambda *state: seen.append(state))
    assert [left for left, _, _ in seen] == list(range(499, -1, -1))
    assert torch.equal(seen[-1][1], final)
    assert torch.equal(sample(GaussianModel().predict_eps, X_T, ABAR, 500), final)
    assert rms(final - model.solution(X_T, start=999)) < 0.01


def test_the_way_up_ends_where_the_way_down_begins():
    model, steps = GaussianModel(), []
    x0 = model.mu + model.sd * X_T
    schedule = ddim_schedule(500, ABAR, eta=1.0)  # the way up draws no noise all the same
    noise = ascend(model.predict_eps, x0, schedule, on_step=lambda i, x: steps.append((i, x)))
    assert [i for i, _ in steps] == list(range(500)) and torch.equal(steps[-1][1], noise)
    assert rms(noise - model.solution(x0, 0, 999)) < 0.02
    back = descend(model.predict_eps, noise, ddim_schedule(500, ABAR, eta=0.0))
    assert rms(back - x0) < 0.02 < rms(noise - x0)
