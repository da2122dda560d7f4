"""The published face of latent diffusion, for notebooks and published code; no program runs it.

Configurations may name `LatentDiffusion`. Programs build the class of the mathematics in its place:
`LatentDiffusionModel` in `ldm.models.diffusion.latent_diffusion`, which knows nothing of Lightning.
"""

from contextlib import contextmanager

import pytorch_lightning as pl
import torch
from einops import rearrange

from ldm.models.diffusion.latent_diffusion import LatentDiffusionModel


def published_losses(phase: str, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """A loss under its published names, `<phase>/loss_simple` and `<phase>/loss`.

    They differ by weights of the timesteps, which are all 1 here.
    """
    return {f"{phase}/{name}": loss.detach() for name in ("loss_simple", "loss")}


class LatentDiffusion(LatentDiffusionModel, pl.LightningModule):
    """Latent diffusion that any Trainer trains, on any data set of `jpg` and `txt`.

    For notebooks and published code: see the module. Its arguments are those of
    `LatentDiffusionModel`.

    Attributes:
        learning_rate: of AdamW; callers set another before they train.
    """

    learning_rate = 1e-5

    def p_losses(self, x_start, cond, t, noise=None):
        """Loss to train on, a scalar, and a dictionary to log; noise is drawn if not given.

        The dictionary is that of `published_losses` for `train`, or `val` in evaluation mode.
        """
        noise = torch.randn_like(x_start) if noise is None else noise
        loss = self.sample_losses(x_start, cond, t, noise).mean()
        return loss, published_losses("train" if self.training else "val", loss)

    def get_input(self, batch, k=None, bs=None):
        """Batch of images (N, H, W, 3) and prompts -> z (N, C, H/8, W/8) and its conditions.

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
        """Loss of z, (N, C, h, w), at random timesteps, and a dictionary of what to log.

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

    def configure_optimizers(self):
        """AdamW over `trainable_parameters`; all others are frozen first."""
        self.freeze_the_rest()
        return torch.optim.AdamW(self.trainable_parameters(), lr=self.learning_rate)
