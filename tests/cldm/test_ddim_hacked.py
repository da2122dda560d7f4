"""The published sampler on a Gaussian whose probability flow is known in closed form."""

import pytest
import torch

from cldm.ddim_hacked import DDIMSampler
from ldm.samplers.ddim import ddim_timesteps
from tests.analytic import GaussianModel, rms

SHAPE = (4, 2, 2)
X_T = torch.randn(200, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def sample(model, steps, x_T=X_T, n=None, conditioning=None, **options):
    n = len(x_T) if n is None else n
    return DDIMSampler(model).sample(
        steps, n, SHAPE, conditioning or {}, x_T=x_T, verbose=False, **options
    )[0]


def draw(seeds, **options):
    """Samples from seeds alone."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return sample(GaussianModel(), 10, x_T=None, n=len(seeds), generators=generators, **options)


# Schedules


def test_golden_schedules(golden):
    sampler = DDIMSampler(GaussianModel())
    sampler.make_schedule(6)
    assert (
        sampler.ddim_timesteps.tolist()
        == golden["ddim_timesteps_6"].tolist()
        == [1, 167, 333, 499, 665, 831, 997]
    )
    assert sampler.ddim_alphas == pytest.approx(golden["ddim_alphas_6"].numpy(), rel=1e-4)
    assert sampler.ddim_alphas_prev == pytest.approx(golden["ddim_alphas_prev_6"].numpy(), rel=1e-4)
    assert not sampler.ddim_sigmas.any()
    sampler.make_schedule(50, ddim_eta=1.0)
    assert sampler.ddim_timesteps.tolist() == golden["ddim_timesteps_50"].tolist()
    assert sampler.ddim_sigmas == pytest.approx(golden["ddim_sigmas_50_eta1"].numpy(), rel=1e-4)


def test_sigma_is_that_of_ddpm_at_eta_1():
    """With all timesteps, sigma_t^2 is DDPM's posterior variance (Ho et al. 2020, Eq. 7)."""
    model = GaussianModel()
    sampler = DDIMSampler(model)
    sampler.make_schedule(1000, ddim_eta=1.0)
    abar = model.alphas_cumprod.numpy()
    betas = 1 - abar[1:] / abar[:-1]
    assert sampler.ddim_sigmas**2 == pytest.approx((1 - abar[:-1]) / (1 - abar[1:]) * betas)
    full = sampler.ddim_sigmas
    sampler.make_schedule(1000, ddim_eta=0.3)
    assert sampler.ddim_sigmas == pytest.approx(0.3 * full)


@pytest.mark.parametrize("eta", [-0.1, 1.5, float("nan")])
def test_eta_out_of_range(eta):
    with pytest.raises(ValueError, match=f"eta {eta}, expected 0 to 1"):
        sample(GaussianModel(), 10, eta=eta)


# Samples


@pytest.mark.parametrize(("mu", "sd"), [(0.5, 0.1), (0.0, 1.5), (-1.0, 0.5)])
def test_more_steps_come_closer_to_the_exact_flow(mu, sd):
    model = GaussianModel(mu, sd)
    errors = []
    for steps in (10, 100, 1000):
        start = int(ddim_timesteps(steps, 1000)[-1])
        errors.append(rms(sample(model, steps) - model.solution(X_T, start)))
    assert errors[2] < errors[1] / 5 and errors[1] < errors[0] / 2 and errors[2] < 0.002


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_samples_have_mean_and_deviation_of_the_data(eta):
    samples = sample(GaussianModel(0.5, 0.3), 200, eta=eta)  # 3200 values
    assert samples.mean().item() == pytest.approx(0.5, abs=0.03)
    assert samples.std().item() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_v_prediction_gives_the_same_samples(eta):
    samples = []
    for parameterization in ("eps", "v"):
        torch.manual_seed(0)
        samples.append(sample(GaussianModel(parameterization=parameterization), 20, eta=eta))
    torch.testing.assert_close(samples[1], samples[0])


def test_guidance_moves_the_samples_along_the_difference():
    """For shifted Gaussians guidance is a Gaussian too: its mean is u + scale (c - u)."""
    cond, uncond = (
        {"c_crossattn": [torch.full((len(X_T),), shift, dtype=torch.float64)]}
        for shift in (0.2, -0.1)
    )
    shifted = {"c_crossattn": [torch.full((len(X_T),), -0.1 + 3 * 0.3, dtype=torch.float64)]}
    guided = sample(
        GaussianModel(),
        20,
        conditioning=cond,
        unconditional_conditioning=uncond,
        unconditional_guidance_scale=3.0,
    )
    torch.testing.assert_close(guided, sample(GaussianModel(), 20, conditioning=shifted))
    plain = sample(GaussianModel(), 20, conditioning=cond)
    assert torch.equal(
        sample(GaussianModel(), 20, conditioning=cond, unconditional_conditioning=uncond), plain
    )
    assert rms(guided - plain) > 0.1


def test_deterministic_without_eta_and_seeded_with_it():
    assert torch.equal(sample(GaussianModel(), 10), sample(GaussianModel(), 10))
    assert not torch.equal(
        sample(GaussianModel(), 10, eta=1.0), sample(GaussianModel(), 10, eta=1.0)
    )
    torch.manual_seed(3)
    first = sample(GaussianModel(), 10, eta=1.0)
    torch.manual_seed(3)
    assert torch.equal(sample(GaussianModel(), 10, eta=1.0), first)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_sample_depends_on_its_generator_alone(eta):
    batch = draw([3, 4, 5], eta=eta)
    assert torch.equal(draw([4], eta=eta), batch[1:2]) and torch.equal(
        draw([5, 3], eta=eta), batch[[2, 0]]
    )
    assert not torch.equal(batch[0], batch[1])


def test_generators_leave_the_global_one_alone():
    before = torch.get_rng_state()
    draw([3], eta=1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_intermediates():
    sampler = DDIMSampler(GaussianModel())
    samples, intermediates = sampler.sample(
        10, 3, SHAPE, {}, x_T=X_T[:3], log_every_t=4, verbose=False
    )
    assert torch.equal(intermediates["x_inter"][0], X_T[:3]) and torch.equal(
        intermediates["x_inter"][-1], samples
    )
    assert (
        len(intermediates["x_inter"]) == len(intermediates["pred_x0"]) == 1 + 4
    )  # the noise; steps 9, 8, 4, 0
