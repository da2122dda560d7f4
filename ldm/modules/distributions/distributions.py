"""The diagonal Gaussian that the autoencoder's encoder predicts."""

import torch


class DiagonalGaussianDistribution:
    """q(z | x) from `parameters`, (N, 2C, h, w): mean and log variance stacked on the channels."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(
            -30.0, 20.0
        )  # the range that published weights were trained with
        self.std = (0.5 * self.logvar).exp()
        self.var = self.logvar.exp()

    def sample(self, noise=None):
        """A draw, (N, C, h, w); `noise` is standard normal of that shape, drawn here when not given."""
        noise = torch.randn_like(self.mean) if noise is None else noise
        return self.mean + self.std * noise

    def mode(self):
        return self.mean

    def kl(self):
        """Kullback-Leibler divergence from the standard normal, summed per sample, (N,)."""
        return 0.5 * (self.mean**2 + self.var - 1.0 - self.logvar).sum(dim=(1, 2, 3))
