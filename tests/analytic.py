"""A diffusion model whose answers are known: every value of the data is normally distributed."""

import torch

from cldm.guidance import guided_eps
from ldm.modules.diffusionmodules.schedule import make_alphas_cumprod
from ldm.modules.diffusionmodules.util import rows_for


class GaussianModel:
    """Ideal predictor for data from N(mu, sd^2), with what the samplers ask of a model; float64.

    With alpha^2 = alpha-bar_t and sigma^2 = 1 - alpha-bar_t, x_t is then distributed as
    N(alpha mu, alpha^2 sd^2 + sigma^2). The noise expected in x_t is sigma (x_t - alpha mu) over
    that variance.

    Args:
        parameterization: what `apply_model` predicts: `eps`, or `v` for alpha eps - sigma x_0.
    """

    def __init__(self, mu=0.5, sd=0.3, parameterization="eps"):
        self.mu, self.sd, self.parameterization = mu, sd, parameterization
        self.alphas_cumprod = torch.from_numpy(make_alphas_cumprod())
        self.asked = []  # timesteps, in the order of the calls

    def variance(self, t):
        """Variance of x_t."""
        return self.alphas_cumprod[t] * self.sd**2 + 1 - self.alphas_cumprod[t]

    def apply_model(self, x, t, cond):
        """The prediction for `x`, (N, C, H, W), at timesteps `t`, (N,) or (1,).

        `cond` may shift the mean: {"c_crossattn": [shift]}, one number per sample, or per
        prediction where each sample is to have several.
        """
        self.asked.append(int(t[0]))
        mu = self.mu
        if cond.get("c_crossattn"):
            mu = mu + cond["c_crossattn"][0].view(-1, 1, 1, 1)
            x = rows_for(x, mu)
        abar = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        eps = (1 - abar).sqrt() * (x - abar.sqrt() * mu) / self.variance(t).view(-1, 1, 1, 1)
        if self.parameterization == "eps":
            return eps
        pred_x0 = (x - (1 - abar).sqrt() * eps) / abar.sqrt()
        return abar.sqrt() * eps - (1 - abar).sqrt() * pred_x0

    def predict_eps(self, x, t):
        """The noise expected in `x` at timestep `t`, as samplers ask for it."""
        return guided_eps(self, x, t, {})

    def solution(self, x_T, start=999, end=0):
        """Where the probability flow carries `x_T` from timestep `start` to `end`.

        The flow keeps the standardised value, (x - mean) / standard deviation.
        """
        mean_start, mean_end = (self.alphas_cumprod[t].sqrt() * self.mu for t in (start, end))
        standardised = (x_T - mean_start) / self.variance(start).sqrt()
        return mean_end + standardised * self.variance(end).sqrt()


def rms(difference) -> float:
    """Root of the mean square of a tensor."""
    return difference.square().mean().sqrt().item()
