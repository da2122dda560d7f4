"""A discriminator of patches, which makes a decoder draw texture (Esser et al. 2021, Sec. 3.1).

An L1 loss is least for the median of all images that fit the latents: what they do not tell, such
as grain, is smoothed away. A discriminator sees that no microscope draws so. The decoder has no
source of noise, so it answers with texture that follows from the latents, not with true grain.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

WIDTH = 32  # channels after the first layer; grain is a simple pattern
DOWNSAMPLINGS = 2  # each logit sees 22 pixels; larger structures are the U-Net's business
SMALLEST_GRADIENT = 1e-4  # keeps the ratio of gradients finite


class PatchDiscriminator(nn.Sequential):
    """Image (N, 3, H, W) -> logits (N, 1, about H/4, W/4), high where it looks real."""

    def __init__(self):
        layers, channels = [], 3
        for i in range(DOWNSAMPLINGS):
            layers += [nn.Conv2d(channels, WIDTH * 2**i, 4, stride=2, padding=1)]
            channels = WIDTH * 2**i
            layers += [nn.LeakyReLU(0.2)]
        # Differs from the paper: no normalisation, which would hide how strong the grain is.
        layers += [nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(2 * channels, 1, 3, padding=1))

    def losses(self, image, reconstruction):
        """Loss of the decoder and hinge loss of the discriminator (Lim & Ye 2017), scalars.

        Neither sends a gradient into the other's network, so one backward pass serves both.

        Args:
            image, reconstruction: (N, 3, H, W), about [-1, 1].
        """
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        decoder = -functional_call(self, fixed, (reconstruction,)).mean()
        real, fake = self(image), self(reconstruction.detach())  # (N, 1, h, w) each
        return decoder, F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def balance(reconstruction_loss, decoder_loss, weight: nn.Parameter) -> torch.Tensor:
    """Factor that gives both losses equal gradients at `weight` (Esser et al. 2021, Eq. 7).

    Args:
        weight: of the decoder's last layer.
    """
    norms = [
        torch.autograd.grad(loss, weight, retain_graph=True)[0].norm()
        for loss in (reconstruction_loss, decoder_loss)
    ]
    return (norms[0] / (norms[1] + SMALLEST_GRADIENT)).clamp(max=1e4).detach()
