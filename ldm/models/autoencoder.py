"""The autoencoder between images and latents (Rombach et al. 2022, Sec. 3.1)."""

from torch import nn

from core.hardware.devices import full_range
from ldm.modules.diffusionmodules.model import Decoder, Encoder
from ldm.modules.diffusionmodules.util import size_factor
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution


class AutoencoderKL(nn.Module):
    """Image (N, 3, H, W) in [-1, 1] <-> Gaussian over latents (N, embed_dim, H/f, W/f).

    Args:
        ddconfig: the published sizes. `double_z` and `attn_resolutions` are checked, `resolution`
            is not read: the network takes any size.
        embed_dim: latent channels.
        lossconfig, monitor: stand in published configurations for the autoencoder's own training;
            not read.
    Raises:
        ValueError: `ddconfig` asks for attention between the levels or for an encoder without
            variance, which no Stable Diffusion autoencoder has.

    Attributes:
        downsampling: f, image pixels per latent pixel.
    """

    def __init__(self, ddconfig, embed_dim, lossconfig=None, monitor=None):
        super().__init__()
        if ddconfig.get("attn_resolutions"):
            raise ValueError(
                f"first_stage_config: attn_resolutions {ddconfig['attn_resolutions']} is not "
                "supported, expected []"
            )
        if not ddconfig.get("double_z", True):
            raise ValueError(
                "first_stage_config: double_z must be true, the encoder predicts mean and "
                "log variance"
            )
        shared = {key: ddconfig[key] for key in ("ch", "ch_mult", "num_res_blocks", "z_channels")}
        shared["dropout"] = ddconfig.get("dropout", 0.0)
        self.downsampling = size_factor(ddconfig["ch_mult"])
        self.encoder = Encoder(ddconfig["in_channels"], **shared)
        self.decoder = Decoder(ddconfig["out_ch"], **shared)
        # 1x1 convolutions between the widths of the networks and of the latents. Both are 4 in SD,
        # but the published weights hold them.
        self.quant_conv = nn.Conv2d(2 * ddconfig["z_channels"], 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, ddconfig["z_channels"], 1)

    def encode(self, x):
        """Image (N, 3, H, W) in [-1, 1] -> posterior over latents (N, embed_dim, H/f, W/f)."""
        x = x.to(self.quant_conv.weight.dtype)  # (N, 3, H, W)
        # Activations of published autoencoders come close to float16's largest number.
        with full_range(x.device.type):
            moments = self.quant_conv(self.encoder(x))  # (N, 2 embed_dim, H/f, W/f)
        return DiagonalGaussianDistribution(moments)

    def decode(self, z):
        """Latents (N, embed_dim, h, w) -> image (N, 3, f h, f w), about [-1, 1], not clipped."""
        z = z.to(self.post_quant_conv.weight.dtype)  # (N, embed_dim, h, w)
        with full_range(z.device.type):
            return self.decoder(self.post_quant_conv(z))  # (N, 3, f h, f w)

    def forward(self, x, noise=None):
        """Reconstruction (N, 3, H, W) and posterior, for training.

        Args:
            noise: for the draw from the posterior; see `DiagonalGaussianDistribution.sample`.
        """
        posterior = self.encode(x)  # of latents (N, embed_dim, H/f, W/f)
        return self.decode(posterior.sample(noise)), posterior  # (N, 3, H, W)
