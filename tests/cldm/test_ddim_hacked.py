"""The published sampler on a Gaussian whose probability flow is known in closed form."""

import pytest
import torch

from cldm.ddim_hacked import UNSUPPORTED, DDIMSampler
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


# Published arguments


def test_callbacks_count_the_steps():
    steps, pictures = [], []
    sampler = DDIMSampler(GaussianModel())
    samples, intermediates = sampler.sample(
        4,
        2,
        SHAPE,
        {},
        callback=steps.append,
        img_callback=lambda pred_x0, i: pictures.append((i, pred_x0)),
        log_every_t=1,
        verbose=False,
    )
    assert steps == [i for i, _ in pictures] == [0, 1, 2, 3]
    for (_, picture), pred_x0 in zip(pictures, intermediates["pred_x0"][1:], strict=True):
        assert torch.equal(picture, pred_x0)


def test_the_mask_keeps_x0():
    """Where the mask is 1 the samples are x0, up to the noise of the lowest timesteps."""
    x0 = torch.linspace(-2, 2, 16, dtype=torch.float64).reshape(1, *SHAPE).expand(200, *SHAPE)
    mask = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    mask[..., 0] = 1
    samples = sample(GaussianModel(), 100, mask=mask, x0=x0)
    assert (samples - x0)[..., 0].abs().max() < 0.3
    assert torch.equal(samples[..., 1], sample(GaussianModel(), 100)[..., 1])
    with pytest.raises(ValueError, match="mask without x0"):
        sample(GaussianModel(), 10, mask=mask)


def test_temperature_scales_the_noise_of_the_steps():
    """Without that noise eta 1 still shrinks the noise of the step before, so samples narrow."""
    deviations = [
        sample(GaussianModel(), 100, eta=1.0, temperature=temperature).std().item()
        for temperature in (0.0, 0.5, 1.0)
    ]
    assert deviations[0] < deviations[1] < deviations[2]
    assert torch.equal(
        sample(GaussianModel(), 10, eta=1.0, temperature=0.0),
        sample(GaussianModel(), 10, eta=1.0, temperature=0.0),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score_corrector", object()),
        ("noise_dropout", 0.5),
        ("quantize_x0", True),
        ("dynamic_threshold", 0.9),
        ("ucg_schedule", [1.0]),
        ("normals_sequence", torch.zeros(3)),
    ],
)
def test_unsupported_arguments_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} is not supported, expected"):
        sample(GaussianModel(), 10, **{name: value})


def test_arguments_that_ask_for_nothing():
    plain = sample(GaussianModel(), 10)
    assert torch.equal(sample(GaussianModel(), 10, **UNSUPPORTED), plain)
    with pytest.raises(TypeError, match="no argument unconditional_guidence_scale"):
        sample(GaussianModel(), 10, unconditional_guidence_scale=9.0)
    with pytest.raises(ValueError, match="schedule 'cosine', expected linear"):
        DDIMSampler(GaussianModel(), schedule="cosine")


# From an image to noise, and back


@pytest.fixture
def scheduled():
    sampler = DDIMSampler(GaussianModel())
    sampler.make_schedule(200)
    return sampler


def test_attributes_of_the_schedule(scheduled):
    abar = scheduled.model.alphas_cumprod
    assert scheduled.ddpm_num_timesteps == 1000
    torch.testing.assert_close((1 - scheduled.betas).cumprod(0), abar)
    assert torch.equal(scheduled.alphas_cumprod_prev[1:], abar[:-1])
    assert scheduled.alphas_cumprod_prev[0] == 1
    torch.testing.assert_close(
        scheduled.sqrt_alphas_cumprod**2 + scheduled.sqrt_one_minus_alphas_cumprod**2,
        torch.ones(1000, dtype=torch.float64),
    )
    assert scheduled.ddim_sqrt_one_minus_alphas**2 == pytest.approx(1 - scheduled.ddim_alphas)
    scheduled.make_schedule(10, ddim_eta=1.0)
    posterior = (1 - abar[:-1]) / (1 - abar[1:]) * scheduled.betas[1:]  # Ho et al. 2020, Eq. 7
    sigmas = scheduled.ddim_sigmas_for_original_num_steps
    assert sigmas[0] == 0 and sigmas[1:] ** 2 == pytest.approx(posterior.numpy())


@pytest.mark.parametrize("use_original_steps", [False, True])
def test_encode_follows_the_exact_flow_and_decode_comes_back(scheduled, use_original_steps):
    model = scheduled.model
    x0 = model.mu + model.sd * X_T
    steps = 400 if use_original_steps else 80
    options = {"use_original_steps": use_original_steps, "verbose": False}
    encoded, out = scheduled.encode(x0, {}, steps, return_intermediates=4, **options)
    assert torch.equal(out["x_encoded"], encoded) and len(out["intermediates"]) == 4
    assert out["intermediate_steps"][-1] == steps - 1
    top = steps - 1 if use_original_steps else int(scheduled.ddim_timesteps[steps - 1])
    assert rms(encoded - model.solution(x0, 0, top)) < 0.02
    decoded = scheduled.decode(encoded, {}, steps, **options)
    assert rms(decoded - x0) < 0.02 < rms(encoded - x0)


def test_stochastic_encode_has_the_noise_of_the_index(scheduled):
    x0, noise = torch.ones(2, *SHAPE, dtype=torch.float64), X_T[:2]
    abar = scheduled.model.alphas_cumprod[scheduled.ddim_timesteps[20]]
    expected = abar.sqrt() * x0 + (1 - abar).sqrt() * noise
    for t in (20, torch.tensor([20, 20])):
        torch.testing.assert_close(scheduled.stochastic_encode(x0, t, noise=noise), expected)
    timestep = torch.tensor(scheduled.ddim_timesteps[20])
    torch.testing.assert_close(
        scheduled.stochastic_encode(x0, timestep, use_original_steps=True, noise=noise), expected
    )
    assert not torch.equal(scheduled.stochastic_encode(x0, 20), scheduled.stochastic_encode(x0, 20))


def test_image_to_image_keeps_the_data(scheduled):
    """Samples that are noised half way and decoded are distributed as the data again."""
    model = scheduled.model
    x0, steps = model.mu + model.sd * X_T, []
    torch.manual_seed(1)  # seed 0 gave X_T, and the noise must not repeat it
    noisy = scheduled.stochastic_encode(x0, torch.tensor([99] * len(x0)))
    samples = scheduled.decode(noisy, {}, 100, callback=steps.append, verbose=False)
    assert steps == list(range(100))
    assert samples.mean().item() == pytest.approx(model.mu, abs=0.03)
    assert samples.std().item() == pytest.approx(model.sd, abs=0.03)


def test_steps_beyond_the_schedule(scheduled):
    for call in (scheduled.encode, scheduled.decode):
        with pytest.raises(ValueError, match="201 steps, expected 0 to 200"):
            call(X_T, {}, 201)
    with pytest.raises(ValueError, match="t 200, expected 0 to 199"):
        scheduled.stochastic_encode(X_T, 200)
    with pytest.raises(RuntimeError, match="call make_schedule first"):
        DDIMSampler(GaussianModel()).decode(X_T, {}, 10)
