"""Second stage of a base: the U-Net with its text encoder (Rombach et al. 2022, Sec. 3.2 and 3.3).

Differs from the paper: a text encoder that is trained from nothing together with the U-Net.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging

from cldm.configuration import read_config
from cldm.model import load_weights
from core.hardware.device_options import pick_device
from core.weights.checkpoints import load_state_dict, save_weights
from ldm.models.diffusion.latent_diffusion import LatentDiffusionModel
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from training.base.data import Latents, Views, load
from training.base.loop import StageRun, fit, warm_then_decay
from training.base.options import UNetOptions
from training.step.latents import LatentCache
from training.step.noise import draw_step_noise

UNET = "ldm.modules.diffusionmodules.openaimodel.UNetModel"  # a base is trained without control
CONTROL_KEYS = ("control_stage_config", "control_key", "only_mid_control")  # not of a base


class UNetTraining(pl.LightningModule):
    """Second stage: U-Net and text encoder, trained on batches of `Latents`."""

    def __init__(self, model: LatentDiffusionModel, learning_rate: float):
        super().__init__()
        self.model, self.learning_rate = model, learning_rate
        model.freeze_the_rest()
        self.train()
        model.first_stage_model.eval()

    def training_step(self, batch, batch_idx):
        """Loss of posterior moments (N, 2 C, h, w), N prompts and N seeds."""
        moments, texts, seeds = batch
        shape = (moments.shape[1] // 2, *moments.shape[2:])  # (C, h, w)
        drawn = draw_step_noise(seeds.tolist(), shape, self.model.num_timesteps)
        posterior_noise, t, noise = (values.to(self.device) for values in drawn)
        # The first stage is not run: the moments are there already.
        latents = DiagonalGaussianDistribution(moments).sample(posterior_noise)  # (N, C, h, w)
        cond = {"c_crossattn": [self.model.get_learned_conditioning(texts)]}  # (N, 77, width)
        losses = self.model.sample_losses(self.model.scale_factor * latents, cond, t, noise)  # (N,)
        loss = losses.mean()  # Rombach et al. 2022, Eq. 3
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        """AdamW with the schedule of `warm_then_decay`."""
        optimizer = torch.optim.AdamW(self.model.trainable_parameters(), lr=self.learning_rate)
        return warm_then_decay(optimizer, self.trainer.max_steps)


def build_base(config_path: Path, init: Path | None = None) -> LatentDiffusionModel:
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
    model = LatentDiffusionModel(**params)
    if init:
        load_weights(model, init)
    return model


def train_unet(
    model: LatentDiffusionModel,
    images: Sequence[torch.Tensor],
    prompts: Sequence[str],
    options: UNetOptions,
    cache: LatentCache,
    run: StageRun,
) -> None:
    """Train U-Net and text encoder of `model` in place; they end as averages over the steps.

    Args:
        images: as `read_images` returns them.
        cache: where the latents of their views are kept.
        run: its seed is that of views, prompts and noise.
    """
    # Lightning moves the model later; views would be encoded on the CPU until then.
    model.first_stage_model.to(pick_device("auto"))
    latents = Latents(
        model.first_stage_model,
        Views(images, options.image_size),
        run.seed,
        cache,
        options.views_per_image,
        prompts,
        options.prompt_drop,
    )
    batches = partial(load, latents, options.batch_size, options.steps, run.seed, "U-Net")
    average = EMAWeightAveraging(decay=options.ema_decay)
    training = UNetTraining(model, options.learning_rate)
    fit(training, batches, options.steps, run, [average])


def save_halfway(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights, unless the file holds them: a training that goes on has written it before.

    Raises:
        FileExistsError: the file holds something else.
    """
    if not path.exists():
        save_weights(weights, path)
        return
    try:
        found = load_state_dict(path)
    except ValueError:  # no weights at all
        found = {}
    same = found.keys() == weights.keys() and all(
        torch.equal(found[name], value) for name, value in weights.items()
    )
    if not same:
        raise FileExistsError(
            f"{path}: the trained autoencoder goes there, but it exists and holds something else. "
            "Move it away; the same command goes on"
        )


def base_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights by their published names in half precision.

    The buffers of the noise schedule are left out: the configuration gives them.
    """
    buffers = {name for name, _ in model.named_buffers()}
    # In half precision: the file takes half the space.
    return {key: value.half() for key, value in model.state_dict().items() if key not in buffers}
