"""The registry: what it says about each sampler is what the sampler does."""

import pytest
import torch

from ldm.samplers import SAMPLERS
from tests.analytic import GaussianModel

ABAR = GaussianModel().alphas_cumprod.numpy()
X_T = torch.randn(2, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


def test_names(sampler):
    assert SAMPLERS[sampler.name] is sampler and sampler.title


@pytest.mark.parametrize("steps", [1, 7, 70, 300])
def test_evaluations_are_counted(sampler, steps):
    model = GaussianModel()
    sampler.sample(model.predict_eps, X_T, ABAR, steps)
    assert model.asked == list(sampler.timesteps(steps, ABAR))
    assert sampler.evaluations(steps) == len(model.asked)


@pytest.mark.parametrize("first", [0, 1, 6])
def test_first_timesteps_are_left_out(sampler, first):
    """What is asked then are the others, and a sampler that is left none of them does nothing."""
    model = GaussianModel()
    sampler.sample(model.predict_eps, X_T, ABAR, 7, first=first)
    timesteps = list(sampler.timesteps(7, ABAR))
    assert model.asked == timesteps[first:]
    assert sampler.sample(model.predict_eps, X_T, ABAR, 7, first=len(timesteps)) is X_T


def test_the_published_ddim_schedule_has_72_timesteps_for_70():
    assert SAMPLERS["ddim"].evaluations(70) == 72
    assert SAMPLERS["dpmpp"].evaluations(20) == 20


def test_valid_steps_are_those_that_work(sampler):
    valid = sampler.valid_steps(len(ABAR))
    for steps in (valid[0], valid[-1]):
        assert sampler.sample(GaussianModel().predict_eps, X_T, ABAR, steps).isfinite().all()
    for steps in (valid[0] - 1, valid[-1] + 1):
        with pytest.raises(ValueError, match=f"{steps} sampling steps, expected 1 to {valid[-1]}"):
            sampler.sample(GaussianModel().predict_eps, X_T, ABAR, steps)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ignored_arguments_change_nothing_and_others_do(sampler, eta):
    def draw(eta):
        torch.manual_seed(0)
        return sampler.sample(GaussianModel().predict_eps, X_T, ABAR, 10, eta=eta)

    same = torch.equal(draw(eta), draw(0.0))
    assert same == (eta == 0.0 or "eta" in sampler.ignores)
