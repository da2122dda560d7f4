"""The diagonal Gaussian that the autoencoder's encoder predicts."""

import torch

LOGVAR_RANGE = (-30.0, 20.0)  # the clamp that published weights were trained with


class DiagonalGaussianDistribution:
    """q(z | x), a normal distribution per latent value.

    Args:
        parameters: (N, 2C, h, w), mean and log variance one after the other on the channels.

    Attributes:
        parameters, mean, logvar, std, var: the last four (N, C, h, w).
    """

    def __init__(self, parameters):
        self.parameters = parameters
        self.mean, logvar = parameters.chunk(2, dim=1)
        self.logvar = logvar.clamp(*LOGVAR_RANGE)
        self.std = (0.5 * self.logvar).exp()  # sqrt(exp(logvar))
        self.var = self.logvar.exp()

    def sample(self, noise=None):
        """A draw, (N, C, h, w).

        Args:
            noise: standard normal of that shape; drawn here when not given.
        """
        noise = torch.randn_like(self.mean) if noise is None else noise
        return self.mean + self.std * noise  # reparameterised (Kingma & Welling 2014, Sec. 2.4)

    def mode(self):
        """The most likely latents, (N, C, h, w)."""
        return self.mean

    def kl(self):
        """Kullback-Leibler divergence from the standard normal, summed per sample, (N,)."""
        # Kingma & Welling 2014, appendix B, with the sign turned
        return 0.5 * (self.mean**2 + self.var - 1.0 - self.logvar).sum(dim=(1, 2, 3))
