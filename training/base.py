"""Pre-training of a base model: the autoencoder, then the U-Net with its text encoder.

First stage: Rombach et al. 2022, Sec. 3.1. Second stage: Sec. 3.2 and 3.3. No labels are needed.
Differs from the paper: the autoencoder learns with an L1 loss, an edge loss and a light KL penalty,
without perceptual loss and discriminator; the text encoder is trained with the U-Net.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from einops import rearrange
from pytorch_lightning.callbacks import EMAWeightAveraging, TQDMProgressBar
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from cldm.model import load_weights, read_config
from core.images import image_size, read_image, to_uint8
from core.lightning import lightning_precision
from core.options import (
    fraction,
    non_negative_float,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)
from ldm.models.diffusion.ddpm import LatentDiffusion
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution

UNET = "ldm.modules.diffusionmodules.openaimodel.UNetModel"  # a base is trained without control
CONTROL_KEYS = ("control_stage_config", "control_key", "only_mid_control")  # not of a base
ENCODE_BATCH = 16  # views that the frozen autoencoder encodes at once
NORMALISE_FROM = 256  # images whose latents give mean and deviation of each channel


@dataclass(frozen=True)
class AutoencoderOptions:
    """Options of the first stage."""

    steps: int = option(
        4000, non_negative_int, "INT", "autoencoder steps; 0 keeps it as --init has it"
    )
    batch_size: int = option(16, positive_int, "INT", "images per autoencoder step")
    learning_rate: float = option(
        1e-3, positive_float, "FLOAT", "peak learning rate of the autoencoder"
    )
    image_size: int = option(
        64,
        positive_int,
        "PIXELS",
        "side of the autoencoder's views; small ones are enough and faster",
    )
    kl_weight: float = option(1e-3, non_negative_float, "FLOAT", "weight of the KL term")
    edge_weight: float = option(
        0.5, non_negative_float, "FLOAT", "weight of the error of image gradients"
    )


@dataclass(frozen=True)
class UNetOptions:
    """Options of the second stage."""

    steps: int = option(6000, non_negative_int, "INT", "U-Net steps; 0 keeps it as --init has it")
    batch_size: int = option(32, positive_int, "INT", "latents per U-Net step")
    learning_rate: float = option(4e-4, positive_float, "FLOAT", "peak learning rate of the U-Net")
    image_size: int = option(128, positive_int, "PIXELS", "side of the views")
    ema_decay: float = option(
        0.999, fraction, "FLOAT", "decay of the averaged U-Net weights, which are what is saved"
    )
    views_per_image: int = option(
        4, positive_int, "INT", "random views of each image encoded for the U-Net"
    )
    prompt_drop: float = option(0.1, fraction, "P", "share of samples that see the empty prompt")


# Data


def read_images(paths: Sequence[Path], smallest: int) -> list[torch.Tensor]:
    """All images in memory, uint8 (3, H, W) each.

    Raises:
        ValueError: an image has a side below `smallest` pixels; found before any pixel is read.
    """
    # Sizes stand in the files' heads, so all are checked before the slow decoding.
    for path in paths:
        height, width = image_size(path)
        if min(height, width) < smallest:
            raise ValueError(
                f"{path}: {width} x {height} pixels, smaller than --image_size {smallest}"
            )
    images = []
    for path in tqdm(paths, desc="read images", unit="image"):
        pixels = to_uint8(read_image(path))  # (H, W, 3)
        # uint8: a quarter of the memory of floats. `Views` scales the crops that it takes.
        images.append(torch.from_numpy(rearrange(pixels, "h w c -> c h w")))  # (3, H, W)
    return images


class Views(Dataset):
    """Random views (crop and flips) of images, float32 (3, size, size) in [-1, 1]."""

    def __init__(self, images: Sequence[torch.Tensor], size: int):
        self.images = images
        self.view = v2.Compose(
            [v2.RandomCrop(size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.view(self.images[index]).float() / 127.5 - 1  # (3, size, size) in [-1, 1]


class Latents(Dataset):
    """Pairs of a view's posterior moments, (8, h, w), and a prompt.

    The frozen autoencoder encodes each view once, at the start. Every epoch draws new prompts, and
    the training step a new sample of each posterior.

    Args:
        views: images, (3, H, W) in [-1, 1]; drawn `views_per_image` times each.
        prompt_drop: probability of the empty prompt in place of one of `prompts`.
    """

    @torch.no_grad()
    def __init__(self, first_stage_model, views, views_per_image=1, prompts=("",), prompt_drop=0.0):
        # Repeats of the data set are other views: each access draws crop and flips anew.
        loader = DataLoader(ConcatDataset([views] * views_per_image), ENCODE_BATCH)
        # Moments, not samples: one encoding then serves for any number of draws.
        self.moments = torch.cat(
            [
                first_stage_model.encode(images).parameters  # (N, 8, h, w)
                for images in tqdm(loader, desc="encode", unit="batch")
            ]
        )  # (all views, 8, h, w)
        self.prompts, self.prompt_drop = prompts, prompt_drop

    def __len__(self):
        return len(self.moments)

    def __getitem__(self, index):
        # Samples without a prompt teach the unconditional model of guidance (Ho & Salimans 2022).
        dropped = torch.rand(()) < self.prompt_drop
        prompt = "" if dropped else self.prompts[torch.randint(len(self.prompts), ())]
        return self.moments[index], prompt


def shuffled(data: Dataset, batch_size: int) -> DataLoader:
    """Batches in random order, all full unless the data do not fill one."""
    return DataLoader(data, batch_size, shuffle=True, drop_last=len(data) >= batch_size)


# Lightning modules


def warm_then_decay(optimizer: torch.optim.Optimizer, total_steps: int) -> dict:
    """Optimizer and schedule for Lightning: a linear warm-up, then half a cosine to zero.

    Args:
        total_steps: optimizer steps of the whole training, warm-up included.
    """
    warm = max(1, total_steps // 50)  # 2 % of the steps
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total_steps - warm)),
        ],
        [warm],
    )
    # Lightning would count epochs if it were not told otherwise.
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class AutoencoderTraining(pl.LightningModule):
    """First stage: reconstruct images through the latents.

    Edges count beside grey values: the membranes of electron microscopy are thin, and an L1 loss of
    grey values alone blurs them at little cost.
    """

    def __init__(self, first_stage_model: torch.nn.Module, options: AutoencoderOptions):
        super().__init__()
        self.first_stage_model, self.options = first_stage_model, options

    def training_step(self, image, batch_idx):
        """Loss of images, (N, 3, H, W) in [-1, 1]."""
        reconstruction, posterior = self.first_stage_model(image)
        # float32 also in mixed precision: differences of close numbers lose all their bits.
        difference = reconstruction.float() - image  # (N, 3, H, W)
        # The gradient of a difference is the difference of the gradients.
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        kl = posterior.kl().mean() / image[0].numel()  # per value, as the other terms are
        l1 = difference.abs().mean()
        self.log_dict({"l1": l1, "edges": edges, "kl": kl}, prog_bar=True)
        return l1 + self.options.edge_weight * edges + self.options.kl_weight * kl

    def configure_optimizers(self):
        """AdamW without weight decay, with the schedule of `warm_then_decay`."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.options.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        return warm_then_decay(optimizer, self.trainer.max_steps)


class BaseModel(LatentDiffusion):
    """Second stage: the U-Net and its text encoder, trained on the batches of `Latents`."""

    def training_step(self, batch, batch_idx):
        """Loss of posterior moments, (N, 8, h, w), and N prompts."""
        moments, texts = batch
        # The first stage is not run: the moments are there already.
        x_start = self.scale_factor * DiagonalGaussianDistribution(moments).sample()  # (N, 4, h, w)
        t = torch.randint(self.num_timesteps, (len(x_start),), device=x_start.device)  # (N,)
        cond = {"c_crossattn": [self.get_learned_conditioning(texts)]}  # (N, 77, width)
        loss, _ = self.p_losses(x_start, cond, t)  # Rombach et al. 2022, Eq. 3
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        """The optimizer of `LatentDiffusion`, with a schedule."""
        return warm_then_decay(super().configure_optimizers(), self.trainer.max_steps)


# The stages


def build_base(config_path: Path, init: Path | None = None) -> BaseModel:
    """The model of a configuration without its control branch.

    Args:
        init: weights to start from; random ones when None.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: a file is missing or does not fit.
    """
    params = dict(read_config(config_path)["params"])
    # The U-Net of a control model takes residuals; the plain one has the same weights.
    for key in CONTROL_KEYS:
        params.pop(key, None)
    params["unet_config"] = {**params["unet_config"], "target": UNET}
    # Configurations freeze the text encoder, since a ControlNet is trained on a finished base.
    text_encoder = params["cond_stage_config"]
    trained = {**text_encoder.get("params", {}), "freeze": False}
    params["cond_stage_config"] = {**text_encoder, "params": trained}
    params["cond_stage_trainable"] = True
    model = BaseModel(**params)
    if init:
        load_weights(model, init)
    return model


def fit(module: pl.LightningModule, loader: DataLoader, steps: int, precision: str, callbacks=()):
    """Train for `steps` optimizer steps with Lightning, which writes nothing but a progress bar.

    Args:
        precision: one of `core.devices.PRECISIONS`.
    """
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,  # no limit: only the steps count
        accelerator="auto",
        devices=1,
        precision=lightning_precision(precision),
        gradient_clip_val=1.0,  # of the norm: a rare steep batch does not throw the weights off
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=10), *callbacks],
    )
    trainer.fit(module, loader)


@torch.no_grad()
def normalise_latents(
    first_stage_model: torch.nn.Module, moments: torch.Tensor, scale_factor: float
) -> None:
    """Give z mean 0 and deviation 1 per channel, without changing any decoded image.

    Shift and scale are folded into the 1x1 convolutions before and after the latents. The
    scale factor of the configuration then fits whatever autoencoder was trained.

    Args:
        first_stage_model: changed in place.
        moments: posterior moments of training images, (N, 8, h, w): mean and log variance.
        scale_factor: z is the latent times this number.
    """
    mean, logvar = moments.chunk(2, dim=1)  # (N, 4, h, w) each
    shift = mean.mean(dim=(0, 2, 3))  # (4,)
    # Law of total variance: the latent is drawn from a Gaussian whose mean varies as well.
    deviation = (mean.var(dim=(0, 2, 3)) + logvar.exp().mean(dim=(0, 2, 3))).sqrt()  # (4,)
    factor = 1 / (scale_factor * deviation)  # (4,)
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
    model: BaseModel,
    images: Sequence[torch.Tensor],
    options: AutoencoderOptions,
    latent_size: int,
    precision: str = "32",
) -> None:
    """Train the first stage of `model` in place and normalise its latents.

    Args:
        images: as `read_images` returns them.
        latent_size: side in pixels of the views whose latents are normalised; those of the U-Net.
    """
    first_stage = model.first_stage_model.train().requires_grad_(True)
    loader = shuffled(Views(images, options.image_size), options.batch_size)
    fit(AutoencoderTraining(first_stage, options), loader, options.steps, precision)
    first_stage.eval().requires_grad_(False)
    # Mean and deviation are measured on views of the size that the U-Net will see.
    latents = Latents(first_stage, Views(images[:NORMALISE_FROM], latent_size))
    normalise_latents(first_stage, latents.moments, model.scale_factor)


def train_unet(
    model: BaseModel,
    images: Sequence[torch.Tensor],
    prompts: Sequence[str],
    options: UNetOptions,
    precision: str = "32",
) -> None:
    """Train U-Net and text encoder of `model` in place; they end as averages over the steps."""
    views = Views(images, options.image_size)
    latents = Latents(
        model.first_stage_model, views, options.views_per_image, prompts, options.prompt_drop
    )
    model.learning_rate = options.learning_rate  # where `LatentDiffusion` looks for it
    average = EMAWeightAveraging(decay=options.ema_decay)
    fit(model, shuffled(latents, options.batch_size), options.steps, precision, [average])


def base_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights by their published names in half precision.

    The buffers of the noise schedule are left out: the configuration gives them.
    """
    buffers = {name for name, _ in model.named_buffers()}
    # In half precision: the file takes half the space.
    return {key: value.half() for key, value in model.state_dict().items() if key not in buffers}
