"""First stage of a base: the autoencoder (Rombach et al. 2022, Sec. 3.1).

Differs from the paper: an L1 loss, an edge loss and a light KL penalty, without perceptual loss;
the discriminator is optional.
"""

from collections.abc import Sequence
from functools import partial

import pytorch_lightning as pl
import torch

from core.draws import sample_generator
from core.seeds import sample_seed
from ldm.models.diffusion.latent_diffusion import LatentDiffusionModel
from ldm.samplers.noise import draw_noise
from training.base.data import Views, load
from training.base.discriminator import PatchDiscriminator, balance
from training.base.loop import StageRun, fit, warm_then_decay
from training.base.options import AutoencoderOptions

NORMALISE_FROM = 256  # images whose latents give mean and deviation of each channel


class AutoencoderTraining(pl.LightningModule):
    """First stage: reconstruct images through the latents.

    Edges count beside grey values: the membranes of electron microscopy are thin, and an L1 loss of
    grey values alone blurs them at little cost.
    """

    def __init__(self, first_stage_model: torch.nn.Module, options: AutoencoderOptions):
        super().__init__()
        self.first_stage_model, self.options = first_stage_model, options
        self.discriminator = PatchDiscriminator() if options.adversarial_weight else None

    def training_step(self, batch, batch_idx):
        """Loss of images, (N, 3, H, W) in [-1, 1], and their N seeds."""
        image, seeds = batch
        posterior = self.first_stage_model.encode(image)
        generators = [sample_generator(seed, "noise", 0) for seed in seeds.tolist()]
        noise = draw_noise(posterior.mean.shape, generators, image.device)  # (N, C, h, w)
        latents = posterior.sample(noise)  # (N, C, h, w)
        reconstruction = self.first_stage_model.decode(latents)  # (N, 3, H, W)
        # float32 also in mixed precision: differences of close numbers lose all their bits.
        difference = reconstruction.float() - image  # (N, 3, H, W)
        # The gradient of a difference is the difference of the gradients.
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        kl = posterior.kl().mean() / image[0].numel()  # per value, as the other terms are
        l1 = difference.abs().mean()
        self.log_dict({"l1": l1, "edges": edges, "kl": kl}, prog_bar=True)
        loss = l1 + self.options.edge_weight * edges + self.options.kl_weight * kl
        return loss + self._adversarial_loss(image, reconstruction, loss)

    def _adversarial_loss(self, image, reconstruction, reconstruction_loss):
        """Losses that the discriminator adds; 0 without one."""
        if self.discriminator is None:
            return 0.0
        decoder_loss, own_loss = self.discriminator.losses(image, reconstruction)
        last = self.first_stage_model.decoder.conv_out.weight
        factor = self.options.adversarial_weight * balance(reconstruction_loss, decoder_loss, last)
        self.log("discriminator", own_loss, prog_bar=True)
        return factor * decoder_loss + own_loss

    def configure_optimizers(self):
        """AdamW without weight decay, with the schedule of `warm_then_decay`."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self.options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        return warm_then_decay(optimizer, self.trainer.max_steps)


@torch.no_grad()
def normalise_latents(
    first_stage_model: torch.nn.Module, moments: torch.Tensor, scale_factor: float
) -> None:
    """Give z mean 0 and deviation 1 per channel, without changing any decoded image.

    Shift and scale are folded into the 1x1 convolutions before and after the latents. The
    scale factor of the configuration then fits whatever autoencoder was trained.

    Args:
        first_stage_model: changed in place.
        moments: posterior moments of training images, (N, 2 C, h, w): mean and log variance.
        scale_factor: z is the latent times this number.
    """
    mean, logvar = moments.chunk(2, dim=1)  # (N, C, h, w) each
    shift = mean.mean(dim=(0, 2, 3))  # (C,)
    # Law of total variance: the latent is drawn from a Gaussian whose mean varies as well.
    deviation = (mean.var(dim=(0, 2, 3)) + logvar.exp().mean(dim=(0, 2, 3))).sqrt()  # (C,)
    factor = 1 / (scale_factor * deviation)  # (C,)
    channels = len(shift)
    before, after = first_stage_model.quant_conv, first_stage_model.post_quant_conv
    # New latent z' = (z - shift) * factor, so W z + b = (W / factor) z' + (b + W shift): the bias
    # first, since it needs the old weight.
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight /= factor[None, :, None, None]
    # Likewise the convolution that gives z: its first rows are the mean.
    before.bias[:channels] = (before.bias[:channels] - shift) * factor
    before.weight[:channels] *= factor[:, None, None, None]
    # The second half is the log variance: var(factor z) = factor^2 var(z).
    before.bias[channels:] += 2 * factor.log()


def train_autoencoder(
    model: LatentDiffusionModel,
    images: Sequence[torch.Tensor],
    options: AutoencoderOptions,
    latent_size: int,
    run: StageRun,
) -> None:
    """Train the first stage of `model` in place; where its encoder changes, normalise its latents.

    Args:
        images: as `read_images` returns them.
        latent_size: side in pixels of the views whose latents are normalised; those of the U-Net.
        run: its seed is that of views and noise.
    """
    first_stage = model.first_stage_model.train().requires_grad_(options.train == "all")
    for part in (first_stage.post_quant_conv, first_stage.decoder):
        part.requires_grad_(True)
    views = Views(images, options.image_size)
    batches = partial(load, views, options.batch_size, options.steps, run.seed, "autoencoder")
    fit(AutoencoderTraining(first_stage, options), batches, options.steps, run)
    first_stage.eval().requires_grad_(False)
    if options.train == "decoder":
        return
    # Mean and deviation are measured on views of the size that the U-Net will see.
    views = Views(images[:NORMALISE_FROM], latent_size)
    keys = [(index, sample_seed(run.seed, "normalise", index)) for index in range(len(views))]
    with torch.no_grad():
        moments = [first_stage.encode(views[key][0][None]).parameters for key in keys]
    normalise_latents(first_stage, torch.cat(moments), model.scale_factor)
