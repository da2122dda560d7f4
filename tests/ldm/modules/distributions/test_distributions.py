"""The posterior of the autoencoder against torch's own Gaussian."""

import torch
from torch.distributions import Normal, kl_divergence

from ldm.modules.distributions.distributions import DiagonalGaussianDistribution


def posterior():
    return DiagonalGaussianDistribution(torch.linspace(-2, 2, 2 * 8 * 9).view(2, 8, 3, 3))


def test_mean_is_the_first_half():
    q = posterior()
    assert torch.equal(q.mean, q.parameters[:, :4]) and torch.equal(q.mode(), q.mean)
    torch.testing.assert_close(q.std**2, q.var)
    torch.testing.assert_close(q.var.log(), q.parameters[:, 4:])


def test_kl_to_the_standard_normal():
    q = posterior()
    expected = kl_divergence(Normal(q.mean, q.std), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(q.kl(), expected)


def test_sample_is_mean_and_scaled_noise():
    q = posterior()
    noise = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(q.sample(noise), q.mean + q.std * noise)
    torch.manual_seed(0)
    expected = q.mean + q.std * torch.randn(2, 4, 3, 3)
    torch.manual_seed(0)
    torch.testing.assert_close(q.sample(), expected)


def test_log_variance_is_clipped():
    q = DiagonalGaussianDistribution(torch.tensor([0.0, 0.0, -1000.0, 1000.0]).view(1, 4, 1, 1))
    assert q.logvar.flatten().tolist() == [-30, 20] and q.std.isfinite().all()
