"""Latent diffusion (Rombach et al. 2022) with the schedule and loss of DDPM (Ho et al. 2020)."""

from contextlib import contextmanager

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from ldm.modules.diffusionmodules.util import (
    LINEAR_END,
    LINEAR_START,
    TIMESTEPS,
    make_alphas_cumprod,
    make_betas,
)
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from ldm.util import instantiate_from_config

# Keys of published configurations that change nothing here.
UNUSED_KEYS = {
    "num_timesteps_cond",  # a cascade that no model of this family uses
    "log_every_t",  # logging of the published program
    "image_size",  # latent size; the network takes any
    "conditioning_key",  # always cross-attention
    "monitor",  # belongs to the training loop
    "use_ema",  # always false, checked
    "scheduler_config",  # always none, checked
    "beta_schedule",  # always `linear`, checked
    "loss_type",  # always `l2`, checked
}


def check_keys(parameterization: str, unused: dict) -> None:
    """Check that a configuration asks for nothing that `LatentDiffusion` lacks.

    Args:
        unused: values by key that no argument of `LatentDiffusion` takes.
    Raises:
        ValueError: an unknown key or parameterization, another schedule or another loss.
    """
    # A misspelt key would otherwise leave its default in place unnoticed.
    if unknown := sorted(set(unused) - UNUSED_KEYS):
        raise ValueError(f"model configuration: unknown keys {unknown}")
    if unused.get("beta_schedule", "linear") != "linear" or unused.get("loss_type", "l2") != "l2":
        raise ValueError("model configuration: expected beta_schedule: linear and loss_type: l2")
    if unused.get("use_ema"):
        raise ValueError(
            "model configuration: use_ema: true, but this model keeps no averaged weights. "
            "Set use_ema: false"
        )
    if unused.get("scheduler_config") is not None:
        raise ValueError(
            "model configuration: scheduler_config is not supported, the learning rate is "
            "constant. Remove it, and set learning_rate on the model"
        )
    if parameterization not in ("eps", "v"):
        raise ValueError(
            f"model configuration: parameterization {parameterization!r}, expected eps or v"
        )


def published_losses(phase: str, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """A loss under its published names, `<phase>/loss_simple` and `<phase>/loss`.

    They differ by weights of the timesteps, which are all 1 here.
    """
    return {f"{phase}/{name}": loss.detach() for name in ("loss_simple", "loss")}


class LatentDiffusion(pl.LightningModule):
    """Autoencoder, text encoder and U-Net, with the loss that trains the U-Net.

    Args:
        unet_config, first_stage_config, cond_stage_config: `target` and `params` of the three
            networks.
        timesteps, linear_start, linear_end: T and the ends of the noise schedule.
        scale_factor: z is the autoencoder's latent times this; its standard deviation is about 1.
        parameterization: what the U-Net predicts: `eps`, the noise, or `v` (Salimans & Ho 2022).
        first_stage_key, cond_stage_key: names of image and prompt in a batch.
        channels: latent channels.
        cond_stage_trainable: train the text encoder together with the U-Net.
    Raises:
        ValueError: as `check_keys`.
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
        self.learning_rate = 1e-5  # of AdamW; callers set another before they train
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

    # Pixels and prompts to latents and embeddings, and back

    @torch.no_grad()
    def encode_first_stage(self, x):
        """Image (N, 3, H, W) in [-1, 1] -> the Gaussian of its latents, (N, 4, H/8, W/8)."""
        return self.first_stage_model.encode(x)

    def get_first_stage_encoding(self, encoder_posterior, noise=None):
        """z, (N, 4, H/8, W/8), from what `encode_first_stage` returns.

        Args:
            encoder_posterior: the Gaussian; or latents, (N, 4, H/8, W/8), drawn from it.
            noise: for the draw from the Gaussian; see `DiagonalGaussianDistribution.sample`.
        """
        latents = encoder_posterior
        if isinstance(latents, DiagonalGaussianDistribution):
            latents = latents.sample(noise)  # (N, 4, H/8, W/8)
        # The factor brings the latents to unit variance (Rombach et al. 2022, appendix G), for
        # which the noise schedule is made.
        return self.scale_factor * latents

    @torch.no_grad()
    def decode_first_stage(self, z):
        """z (N, 4, H/8, W/8) -> image (N, 3, H, W), about [-1, 1], not clipped."""
        return self.first_stage_model.decode(z / self.scale_factor)  # (N, 3, H, W)

    def get_learned_conditioning(self, texts):
        """List of N prompts -> context (N, 77, width)."""
        return self.cond_stage_model(list(texts))  # (N, 77, width)

    def get_unconditional_conditioning(self, n):
        """The empty prompt, n times: (n, 77, width)."""
        return self.get_learned_conditioning([""] * n)

    # Diffusion

    def q_sample(self, x_start, t, noise=None):
        """x_t given x_0, (N, 4, h, w) (Ho et al. 2020, Eq. 4); noise is drawn if not given."""
        noise = torch.randn_like(x_start) if noise is None else noise
        return (  # sqrt(alpha-bar_t) x_0 + sqrt(1 - alpha-bar_t) eps
            self._at(self.sqrt_alphas_cumprod, t) * x_start
            + self._at(self.sqrt_one_minus_alphas_cumprod, t) * noise
        )

    def get_v(self, x_start, noise, t):
        """Target of v-prediction, (N, 4, h, w) (Salimans & Ho 2022, appendix D)."""
        return (  # sqrt(alpha-bar_t) eps - sqrt(1 - alpha-bar_t) x_0
            self._at(self.sqrt_alphas_cumprod, t) * noise
            - self._at(self.sqrt_one_minus_alphas_cumprod, t) * x_start
        )

    @staticmethod
    def _at(schedule, t):
        """Values of a schedule (T,) at timesteps (N,), to be multiplied with maps: (N, 1, 1, 1)."""
        return schedule[t][:, None, None, None]  # (N, 1, 1, 1)

    def apply_model(self, x_noisy, t, cond):
        """The U-Net's prediction for `cond = {"c_crossattn": [context]}`; shape of `x_noisy`."""
        context = torch.cat(cond["c_crossattn"], dim=1)  # (N, 77, width)
        return self.model.diffusion_model(x_noisy, t, context)  # (N, 4, h, w)

    def sample_losses(self, x_start, cond, t, noise):
        """Squared error of the prediction, averaged per sample, (N,) (Ho et al. 2020, Eq. 14).

        It is computed in float32 also where the network runs in half precision.
        """
        target = noise if self.parameterization == "eps" else self.get_v(x_start, noise, t)
        output = self.apply_model(self.q_sample(x_start, t, noise), t, cond)  # (N, 4, h, w)
        # Half precision keeps about three digits, too few for a sum over thousands of values.
        return F.mse_loss(output.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))

    def p_losses(self, x_start, cond, t, noise=None):
        """Loss to train on, a scalar, and a dictionary to log; noise is drawn if not given.

        The dictionary is that of `published_losses` for `train`, or `val` in evaluation mode.
        """
        noise = torch.randn_like(x_start) if noise is None else noise
        loss = self.sample_losses(x_start, cond, t, noise).mean()
        return loss, published_losses("train" if self.training else "val", loss)

    # Training with any Trainer on any data set of `jpg` and `txt`

    def get_input(self, batch, k=None, bs=None):
        """Batch of images (N, H, W, 3) and prompts -> z (N, 4, H/8, W/8) and its conditions.

        Args:
            k: name of the image in the batch; `first_stage_key` when not given.
            bs: number of samples to take, from the first; all when not given.
        """
        # A user's data set may give float64, which numpy makes of integers.
        image = batch[k or self.first_stage_key][:bs].to(self.dtype)
        image = rearrange(image, "n h w c -> n c h w").contiguous()
        cond = {"c_crossattn": [self.get_learned_conditioning(batch[self.cond_stage_key][:bs])]}
        return self.get_first_stage_encoding(self.encode_first_stage(image)), cond

    def forward(self, x, c, **options):
        """Loss of z, (N, 4, h, w), at random timesteps, and a dictionary of what to log.

        Args:
            c: its conditions, as `apply_model` takes them.
            options: further arguments of `p_losses`.
        """
        # t ~ Uniform (Ho et al. 2020, Algorithm 1); the code counts from 0 to T - 1.
        t = torch.randint(self.num_timesteps, (len(x),), device=x.device)  # (N,)
        return self.p_losses(x, c, t, **options)

    def shared_step(self, batch):
        """Loss of a batch at random timesteps, and a dictionary of what to log."""
        return self(*self.get_input(batch))

    @contextmanager
    def ema_scope(self, context=None):
        """Context that changes nothing: the published model swaps in averaged weights here.

        Args:
            context: name of the phase, for the published messages; not read.
        """
        yield

    def training_step(self, batch, batch_idx):
        """Loss of one batch, which Lightning minimises.

        Lightning logs it as `train/loss_step` and, averaged, as `train/loss_epoch`.
        """
        loss, _ = self.shared_step(batch)
        # Lightning keeps the mode of a model, and one with weights is in evaluation mode. The
        # step, not the mode, says that this is training.
        log = published_losses("train", loss)
        size = len(batch[self.cond_stage_key])
        self.log_dict(log, prog_bar=True, on_step=True, on_epoch=True, batch_size=size)
        return loss

    def validation_step(self, batch, batch_idx):
        """Log the loss of one batch as `val/loss` and under the other published names."""
        loss, _ = self.shared_step(batch)
        log = published_losses("val", loss)
        # Published configurations monitor the loss of the averaged weights. There are none here.
        log["val/loss_simple_ema"] = log["val/loss_simple"]
        self.log_dict(log, prog_bar=True, batch_size=len(batch[self.cond_stage_key]))

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

    def configure_optimizers(self):
        """AdamW over `trainable_parameters`; all others are frozen first."""
        self.freeze_the_rest()
        return torch.optim.AdamW(self.trainable_parameters(), lr=self.learning_rate)
