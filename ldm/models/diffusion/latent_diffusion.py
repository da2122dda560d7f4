"""Latent diffusion (Rombach et al. 2022) with the schedule and loss of DDPM (Ho et al. 2020).

The mathematics alone: training steps stand in `ldm.models.diffusion.ddpm`, samplers in
`ldm.samplers`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ldm.models.diffusion.published_keys import check_keys
from ldm.modules.diffusionmodules.schedule import (
    LINEAR_END,
    LINEAR_START,
    TIMESTEPS,
    add_noise,
    make_alphas_cumprod,
    make_betas,
    v_of,
)
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from ldm.util import instantiate_from_config


class LatentDiffusionModel(nn.Module):
    """Autoencoder, text encoder and U-Net, with the loss that trains the U-Net.

    Args:
        unet_config, first_stage_config, cond_stage_config: `target` and `params` of the three
            networks.
        timesteps, linear_start, linear_end: T and the ends of the noise schedule.
        scale_factor: z is the autoencoder's latent times this; its standard deviation is about 1.
        parameterization: what the U-Net predicts: `eps`, the noise, or `v` (Salimans & Ho 2022).
        first_stage_key, cond_stage_key: names of image and prompt in a batch.
        channels: latent channels, C in the shapes below; 4 in Stable Diffusion 1.5.
        cond_stage_trainable: train the text encoder together with the U-Net.
    Raises:
        ValueError: as `check_keys`.

    Attributes:
        alphas_cumprod: alpha-bar_t, (T,) float32; for the other buffers see `_register_schedule`.
        model.diffusion_model, first_stage_model, cond_stage_model: the three networks.
    """

    def __init__(
        self,
        unet_config,
        first_stage_config,
        cond_stage_config,
        timesteps=TIMESTEPS,
        linear_start=LINEAR_START,
        linear_end=LINEAR_END,
        scale_factor=1.0,
        parameterization="eps",
        first_stage_key="jpg",
        cond_stage_key="txt",
        channels=4,
        cond_stage_trainable=False,
        **unused,
    ):
        super().__init__()
        check_keys(parameterization, unused)
        self.parameterization = parameterization
        self.num_timesteps = timesteps
        self.scale_factor = scale_factor
        self.channels = channels
        self.first_stage_key, self.cond_stage_key = first_stage_key, cond_stage_key
        self._register_schedule(make_betas(timesteps, linear_start, linear_end))
        self.model = nn.Module()  # nothing but the prefix `model.` of the published names
        self.model.diffusion_model = instantiate_from_config(unet_config)
        self.first_stage_model = (
            instantiate_from_config(first_stage_config).eval().requires_grad_(False)
        )
        self.cond_stage_model = instantiate_from_config(cond_stage_config)
        self.cond_stage_trainable = cond_stage_trainable

    def _register_schedule(self, betas: np.ndarray):
        """Register the 13 buffers of published checkpoints, each (T,) float32.

        They are computed in float64 (Ho et al. 2020, Sec. 2 and Eq. 7).
        """
        abar = make_alphas_cumprod(betas)
        abar_prev = np.append(1.0, abar[:-1])  # x_0 itself holds no noise: alpha-bar_0 = 1
        posterior_variance = betas * (1 - abar_prev) / (1 - abar)  # beta-tilde_t, Eq. 7
        buffers = {
            "betas": betas,
            "alphas_cumprod": abar,
            "alphas_cumprod_prev": abar_prev,
            "sqrt_alphas_cumprod": np.sqrt(abar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - abar),
            "log_one_minus_alphas_cumprod": np.log(1 - abar),
            "sqrt_recip_alphas_cumprod": np.sqrt(1 / abar),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / abar - 1),
            "posterior_variance": posterior_variance,
            # The first variance is 0, and its logarithm would be infinite.
            "posterior_log_variance_clipped": np.log(np.maximum(posterior_variance, 1e-20)),
            # mu-tilde_t = coef1 x_0 + coef2 x_t, Eq. 7
            "posterior_mean_coef1": betas * np.sqrt(abar_prev) / (1 - abar),
            "posterior_mean_coef2": (1 - abar_prev) * np.sqrt(1 - betas) / (1 - abar),
            "logvar": np.zeros_like(betas),  # a learned loss weight that no published model learns
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.from_numpy(values).float())

    @property
    def device(self) -> torch.device:
        """The device of the schedule, where inputs belong; networks may be moved elsewhere."""
        return self.betas.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the schedule, and of images that are encoded."""
        return self.betas.dtype

    # Pixels and prompts to latents and embeddings, and back

    def latent_shape(self, height, width):
        """Shape (C, H/8, W/8) of an image's latent; `height` and `width` are in pixels."""
        f = self.first_stage_model.downsampling
        return self.channels, height // f, width // f

    @torch.no_grad()
    def encode_first_stage(self, x):
        """Image (N, 3, H, W) in [-1, 1] -> the Gaussian of its latents, (N, C, H/8, W/8)."""
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, encoder_posterior, noise=None):
        """z, (N, C, H/8, W/8), from what `encode_first_stage` returns.

        Args:
            encoder_posterior: the Gaussian; or latents, (N, C, H/8, W/8), drawn from it.
            noise: for the draw from the Gaussian; see `DiagonalGaussianDistribution.sample`.
        """
        latents = encoder_posterior
        if isinstance(latents, DiagonalGaussianDistribution):
            latents = latents.sample(noise)  # (N, C, H/8, W/8)
        # The factor brings the latents to unit variance (Rombach et al. 2022, appendix G), for
        # which the noise schedule is made.
        return self.scale_factor * latents

    @torch.no_grad()
    def decode_first_stage(self, z):
        """z (N, C, H/8, W/8) -> image (N, 3, H, W), about [-1, 1], not clipped."""
        return self.first_stage_model.decode(z / self.scale_factor)  # (N, 3, H, W)

    def get_learned_conditioning(self, texts):
        """List of N prompts -> context (N, 77, width)."""
        return self.cond_stage_model(list(texts))  # (N, 77, width)

    def get_unconditional_conditioning(self, n):
        """The empty prompt, n times: (n, 77, width)."""
        return self.get_learned_conditioning([""] * n)

    # Diffusion

    def q_sample(self, x_start, t, noise=None):
        """x_t given x_0, (N, C, h, w) (Ho et al. 2020, Eq. 4); noise is drawn if not given."""
        noise = torch.randn_like(x_start) if noise is None else noise
        return add_noise(x_start, noise, *self._coefficients(t))  # (N, C, h, w)

    def get_v(self, x_start, noise, t):
        """Target of v-prediction, (N, C, h, w) (Salimans & Ho 2022, appendix D)."""
        return v_of(x_start, noise, *self._coefficients(t))  # (N, C, h, w)

    def _coefficients(self, t):
        """sqrt(alpha-bar_t) and sqrt(1 - alpha-bar_t) at timesteps (N,), each (N, 1, 1, 1)."""
        schedules = self.sqrt_alphas_cumprod, self.sqrt_one_minus_alphas_cumprod  # (T,) each
        return [schedule[t][:, None, None, None] for schedule in schedules]

    def apply_model(self, x_noisy, t, cond):
        """The U-Net's prediction for `cond = {"c_crossattn": [context]}`; shape of `x_noisy`."""
        context = torch.cat(cond["c_crossattn"], dim=1)  # (N, 77, width)
        return self.model.diffusion_model(x_noisy, t, context)  # (N, C, h, w)

    def sample_losses(self, x_start, cond, t, noise):
        """Squared error of the prediction, averaged per sample, (N,) (Ho et al. 2020, Eq. 14).

        It is computed in float32 also where the network runs in half precision.
        """
        target = noise if self.parameterization == "eps" else self.get_v(x_start, noise, t)
        output = self.apply_model(self.q_sample(x_start, t, noise), t, cond)  # (N, C, h, w)
        # Half precision keeps about three digits, too few for a sum over thousands of values.
        return F.mse_loss(output.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))

    # What is trained

    def trainable_parameters(self):
        """Parameters that the optimizer changes; all others are frozen."""
        parameters = list(self.model.diffusion_model.parameters())
        if self.cond_stage_trainable:
            parameters += self.cond_stage_model.parameters()
        return parameters

    def freeze_the_rest(self):
        """Let gradients flow to the trainable parameters alone."""
        self.requires_grad_(False)
        for parameter in self.trainable_parameters():
            parameter.requires_grad_(True)
