"""Schedule, noising and loss of latent diffusion against their formulas."""

import pytest
import torch

from ldm.util import instantiate_from_config


def inputs(n=2, channels=4):
    return (
        torch.randn(n, channels, 8, 8),
        torch.randn(n, channels, 8, 8),
        torch.tensor([3, 900])[:n],
    )


# Schedule and loss


def test_schedule_buffers(shared_tiny_cldm):
    """Identities between the 13 buffers (Ho et al. 2020, Eq. 4, 6, 7)."""
    buffers = {name: value.double() for name, value in shared_tiny_cldm.named_buffers()}
    assert len(buffers) == 13 and all(value.shape == (1000,) for value in buffers.values())
    abar, abar_prev, betas = (
        buffers[name] for name in ("alphas_cumprod", "alphas_cumprod_prev", "betas")
    )
    for name, expected in {
        "alphas_cumprod": (1 - betas).cumprod(0),
        "alphas_cumprod_prev": torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]]),
        "sqrt_alphas_cumprod": abar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - abar).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - abar).log(),
        "sqrt_recip_alphas_cumprod": abar.rsqrt(),
        "sqrt_recipm1_alphas_cumprod": ((1 - abar) / abar).sqrt(),
        "posterior_variance": betas * (1 - abar_prev) / (1 - abar),
        "posterior_mean_coef1": betas * abar_prev.sqrt() / (1 - abar),
        "posterior_mean_coef2": (1 - abar_prev) * (1 - betas).sqrt() / (1 - abar),
        "logvar": torch.zeros(1000, dtype=torch.float64),
    }.items():
        torch.testing.assert_close(
            buffers[name], expected, rtol=1e-4, atol=1e-7
        )  # they are float32
    assert buffers["posterior_log_variance_clipped"].exp()[1:].numpy() == pytest.approx(
        buffers["posterior_variance"][1:].numpy(), rel=1e-4
    )
    assert buffers["posterior_log_variance_clipped"].isfinite().all()


def test_noising_mixes_by_the_schedule(shared_tiny_cldm):
    x_start, noise, t = inputs()
    noisy = shared_tiny_cldm.q_sample(x_start, t, noise)
    for i, abar in enumerate(shared_tiny_cldm.alphas_cumprod[t].tolist()):
        torch.testing.assert_close(noisy[i], abar**0.5 * x_start[i] + (1 - abar) ** 0.5 * noise[i])


def test_v_and_x_t_give_x_0_back(shared_tiny_cldm):
    """Salimans & Ho 2022: x_0 = alpha x_t - sigma v."""
    x_start, noise, t = inputs()
    abar = shared_tiny_cldm.alphas_cumprod[t].view(-1, 1, 1, 1)
    v = shared_tiny_cldm.get_v(x_start, noise, t)
    recovered = abar.sqrt() * shared_tiny_cldm.q_sample(x_start, t, noise) - (1 - abar).sqrt() * v
    torch.testing.assert_close(recovered, x_start, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("parameterization", ["eps", "v"])
def test_loss_is_the_squared_error_of_what_is_predicted(tiny_cldm, parameterization, monkeypatch):
    x_start, noise, t = inputs()
    tiny_cldm.parameterization = parameterization
    target = noise if parameterization == "eps" else tiny_cldm.get_v(x_start, noise, t)
    monkeypatch.setattr(
        tiny_cldm,
        "apply_model",
        lambda x_noisy, t, cond: target + torch.tensor([0.5, 2.0]).view(2, 1, 1, 1),
    )
    torch.testing.assert_close(
        tiny_cldm.sample_losses(x_start, {}, t, noise), torch.tensor([0.25, 4.0])
    )


def test_plain_latent_diffusion_is_the_same_model_without_control(config, shared_tiny_cldm):
    model = instantiate_from_config(config).eval()
    weights = {
        name: value
        for name, value in shared_tiny_cldm.state_dict().items()
        if not name.startswith("control_model.")
    }
    model.load_state_dict(weights)
    x, _, t = inputs()
    context = torch.randn(2, 77, 32)
    with torch.no_grad():
        expected = shared_tiny_cldm.apply_model(x, t, {"c_crossattn": [context], "c_concat": None})
        assert torch.equal(model.apply_model(x, t, {"c_crossattn": [context]}), expected)


# Between pixels, prompts and latents


@torch.no_grad()
def test_scale_factor_between_latent_and_z(shared_tiny_cldm):
    image, noise = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 4, 4, 4)
    posterior = shared_tiny_cldm.encode_first_stage(image)
    z = shared_tiny_cldm.get_first_stage_encoding(posterior, noise)
    assert torch.equal(shared_tiny_cldm.get_first_stage_encoding(posterior.sample(noise)), z)
    torch.testing.assert_close(
        z, 0.18215 * shared_tiny_cldm.first_stage_model.encode(image).sample(noise)
    )
    torch.testing.assert_close(
        shared_tiny_cldm.decode_first_stage(z),
        shared_tiny_cldm.first_stage_model.decode(z / 0.18215),
    )
