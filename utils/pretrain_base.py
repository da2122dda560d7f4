"""Train a base model (autoencoder, then U-Net with its text encoder) on a folder of images, without labels.

    python utils/pretrain_base.py --image_path phantoms/train/images --output models/my_base.safetensors

trains one from nothing. A laboratory adapts a base to its microscope with `--init BASE`, which starts from given
weights. First stage: Rombach et al. 2022, Sec. 3.1, with an L1 loss and a light KL penalty, no discriminator. Second
stage: Sec. 3.2 and 3.3 there. The result goes through `tool_add_control.py` like any Stable Diffusion checkpoint.
"""

import argparse
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, TQDMProgressBar
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from cldm.model import load_weights, read_config
from core.checkpoints import save_weights
from core.images import image_size, list_images, read_image
from core.lightning import PRECISIONS as LIGHTNING_PRECISIONS
from core.options import (
    fraction,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
)
from dataset import PROMPTS, read_prompts
from ldm.models.diffusion.ddpm import LatentDiffusion
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from share import run_script

UNET = "ldm.modules.diffusionmodules.openaimodel.UNetModel"  # a base is trained without control


def read_images(paths, smallest):
    """All images of a folder in memory as uint8 (3, H, W); raises ValueError for one with a side below `smallest`."""
    for path in paths:
        height, width = image_size(path)
        if min(height, width) < smallest:
            raise ValueError(
                f"{path}: {width} x {height} pixels, smaller than --image_size {smallest}"
            )
    pixels = (
        (read_image(path) * 255).round().astype(np.uint8)
        for path in tqdm(paths, desc="read images", unit="image")
    )
    return [torch.from_numpy(image).permute(2, 0, 1) for image in pixels]


class Views(Dataset):
    """Random views (crop and flips) of images: float32 (3, size, size) in [-1, 1]."""

    def __init__(self, images, size):
        self.images = images
        self.view = v2.Compose(
            [v2.RandomCrop(size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.view(self.images[index]).float() / 127.5 - 1


class Latents(Dataset):
    """Posterior moments of random views, encoded once, and a prompt drawn anew each time: ((8, h, w), text)."""

    @torch.no_grad()
    def __init__(self, first_stage_model, views, views_per_image=1, prompts=("",), prompt_drop=0.0):
        batches = tqdm(
            DataLoader(ConcatDataset([views] * views_per_image), batch_size=16),
            desc="encode",
            unit="batch",
        )
        self.moments = torch.cat(
            [first_stage_model.encode(images).parameters for images in batches]
        )
        self.prompts, self.prompt_drop = prompts, prompt_drop

    def __len__(self):
        return len(self.moments)

    def __getitem__(self, index):
        drop = torch.rand(()) < self.prompt_drop
        return self.moments[index], "" if drop else self.prompts[
            torch.randint(len(self.prompts), ())
        ]


def warm_then_decay(optimizer, total_steps):
    """A linear start over the first 2 % of the steps, then half a cosine to zero; for Lightning, counted in steps."""
    warm = max(1, total_steps // 50)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warm),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total_steps - warm)),
        ],
        [warm],
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class AutoencoderTraining(pl.LightningModule):
    """Reconstruct images through the latents; edges count beside grey values, since membranes are what EM is about."""

    def __init__(self, first_stage_model, learning_rate, kl_weight, edge_weight):
        super().__init__()
        self.first_stage_model = first_stage_model
        self.learning_rate, self.kl_weight, self.edge_weight = learning_rate, kl_weight, edge_weight

    def training_step(self, image, batch_idx):
        reconstruction, posterior = self.first_stage_model(image)
        difference = reconstruction.float() - image
        edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        kl = posterior.kl().mean() / image[0].numel()
        l1 = difference.abs().mean()
        self.log_dict({"l1": l1, "edges": edges, "kl": kl}, prog_bar=True)
        return l1 + self.edge_weight * edges + self.kl_weight * kl

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        return warm_then_decay(optimizer, self.trainer.max_steps)


class UNetTraining(LatentDiffusion):
    """The U-Net and its text encoder, on latents that are encoded already."""

    def training_step(self, batch, batch_idx):
        moments, texts = batch
        x_start = self.scale_factor * DiagonalGaussianDistribution(moments).sample()
        t = torch.randint(self.num_timesteps, (len(x_start),), device=x_start.device)
        loss, _ = self.p_losses(x_start, {"c_crossattn": [self.get_learned_conditioning(texts)]}, t)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return warm_then_decay(super().configure_optimizers(), self.trainer.max_steps)


@torch.no_grad()
def normalise_latents(first_stage_model, moments, scale_factor):
    """Fold shift and scale into the 1x1 convolutions around the latents, so that z has mean 0 and deviation 1 per channel.

    The decoded images stay what they were; the scale factor of the configuration then fits whatever was trained.
    """
    mean, logvar = moments.chunk(2, dim=1)
    shift = mean.mean(dim=(0, 2, 3))
    deviation = (mean.var(dim=(0, 2, 3)) + logvar.exp().mean(dim=(0, 2, 3))).sqrt()
    factor = 1 / (scale_factor * deviation)
    channels = len(shift)
    before, after = first_stage_model.quant_conv, first_stage_model.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ shift
    after.weight /= factor[None, :, None, None]
    before.bias[:channels] = (before.bias[:channels] - shift) * factor
    before.weight[:channels] *= factor[:, None, None, None]
    before.bias[channels:] += 2 * factor.log()


def fit(module, loader, steps, args, callbacks=()):
    """Train `module` for `steps` steps with Lightning; nothing but the progress bar is written."""
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        precision=LIGHTNING_PRECISIONS[args.precision],
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[TQDMProgressBar(refresh_rate=10), *callbacks],
    )
    trainer.fit(module, loader)


def base_weights(model):
    """Weights by their published names, in half precision and without the schedule, which the configuration gives."""
    buffers = {name for name, _ in model.named_buffers()}
    return {key: value.half() for key, value in model.state_dict().items() if key not in buffers}


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--image_path",
        type=Path,
        required=True,
        metavar="DIR",
        help="training images; no masks are needed",
    )
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights to write, .safetensors or .ckpt; must not exist",
    )
    files.add_argument(
        "--config",
        type=Path,
        default=Path("models/cldm_nano.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    files.add_argument(
        "--init", type=Path, metavar="FILE", help="start from these weights instead of random ones"
    )
    files.add_argument(
        "--prompts_file",
        type=Path,
        metavar="FILE",
        help="one prompt per line, in place of the built-in ones",
    )
    run = parser.add_argument_group("training")
    run.add_argument(
        "--image_size", type=positive_int, default=128, metavar="PIXELS", help="side of the views"
    )
    run.add_argument(
        "--vae_image_size",
        type=positive_int,
        default=64,
        metavar="PIXELS",
        help="side of the autoencoder's views; small ones do and are faster",
    )
    run.add_argument(
        "--vae_steps",
        type=non_negative_int,
        default=4000,
        metavar="INT",
        help="autoencoder steps; 0 keeps it as --init has it",
    )
    run.add_argument(
        "--vae_batch_size",
        type=positive_int,
        default=16,
        metavar="INT",
        help="images per autoencoder step",
    )
    run.add_argument(
        "--vae_learning_rate",
        type=positive_float,
        default=1e-3,
        metavar="FLOAT",
        help="peak learning rate of the autoencoder",
    )
    run.add_argument(
        "--kl_weight",
        type=non_negative_float,
        default=1e-3,
        metavar="FLOAT",
        help="weight of the KL term",
    )
    run.add_argument(
        "--edge_weight",
        type=non_negative_float,
        default=0.5,
        metavar="FLOAT",
        help="weight of the error of image gradients",
    )
    run.add_argument(
        "--unet_steps",
        type=non_negative_int,
        default=6000,
        metavar="INT",
        help="U-Net steps; 0 keeps it as --init has it",
    )
    run.add_argument(
        "--unet_batch_size",
        type=positive_int,
        default=32,
        metavar="INT",
        help="latents per U-Net step",
    )
    run.add_argument(
        "--unet_learning_rate",
        type=positive_float,
        default=4e-4,
        metavar="FLOAT",
        help="peak learning rate of the U-Net",
    )
    run.add_argument(
        "--ema_decay",
        type=fraction,
        default=0.999,
        metavar="FLOAT",
        help="decay of the averaged U-Net weights, which are what is saved",
    )
    run.add_argument(
        "--views_per_image",
        type=positive_int,
        default=4,
        metavar="INT",
        help="random views of each image encoded for the U-Net",
    )
    run.add_argument(
        "--prompt_drop",
        type=fraction,
        default=0.1,
        metavar="P",
        help="share of samples that see the empty prompt",
    )
    run.add_argument(
        "--precision", choices=["32", "bf16"], default="32", help="bf16 computes in mixed precision"
    )
    run.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="of weights, views and noise",
    )
    args = parser.parse_args(argv)
    if args.output.suffix not in (".safetensors", ".ckpt"):
        parser.error(f"--output {args.output}: expected a name that ends in .safetensors or .ckpt")
    if not args.init and not (args.vae_steps and args.unet_steps):
        parser.error("--vae_steps 0 and --unet_steps 0 keep weights that --init must give")
    return args


def build_model(args):
    config = read_config(args.config)
    params = {
        key: value
        for key, value in config["params"].items()
        if key not in ("control_stage_config", "control_key", "only_mid_control")
    }
    params["unet_config"] = {**params["unet_config"], "target": UNET}
    params["cond_stage_config"] = {**params["cond_stage_config"]}
    params["cond_stage_config"]["params"] = {
        **params["cond_stage_config"].get("params", {}),
        "freeze": False,
    }
    model = UNetTraining(**params)
    if args.init:
        load_weights(model, args.init)
    return model


def main(argv=None):
    args = parse_args(argv)
    if args.output.exists():
        raise FileExistsError(f"--output {args.output} exists. Name another file or remove it.")
    prompts = read_prompts(args.prompts_file) if args.prompts_file else PROMPTS
    paths = list_images(args.image_path)
    pl.seed_everything(args.seed, verbose=False)
    model = build_model(args)
    images = read_images(paths, max(args.image_size, args.vae_image_size))
    print(f"{len(images)} images of {args.image_path}")
    args.output.parent.mkdir(parents=True, exist_ok=True)

    if args.vae_steps:
        print(f"1/2 autoencoder, {args.vae_steps} steps of {args.vae_batch_size}")
        first_stage = model.first_stage_model.train().requires_grad_(True)
        views = Views(images, args.vae_image_size)
        loader = DataLoader(
            views, args.vae_batch_size, shuffle=True, drop_last=len(views) >= args.vae_batch_size
        )
        fit(
            AutoencoderTraining(
                first_stage, args.vae_learning_rate, args.kl_weight, args.edge_weight
            ),
            loader,
            args.vae_steps,
            args,
        )
        first_stage.eval().requires_grad_(False)
        normalise_latents(
            first_stage,
            Latents(first_stage, Views(images[:256], args.image_size)).moments,
            model.scale_factor,
        )
        halfway = args.output.with_stem(f"{args.output.stem}_vae")
        save_weights(base_weights(model), halfway)
        print(f"autoencoder trained; to go on from here: --init {halfway} --vae_steps 0")

    if args.unet_steps:
        print(f"2/2 U-Net and text encoder, {args.unet_steps} steps of {args.unet_batch_size}")
        latents = Latents(
            model.first_stage_model,
            Views(images, args.image_size),
            args.views_per_image,
            prompts,
            args.prompt_drop,
        )
        model.learning_rate = args.unet_learning_rate
        loader = DataLoader(
            latents,
            args.unet_batch_size,
            shuffle=True,
            drop_last=len(latents) >= args.unet_batch_size,
        )
        fit(model, loader, args.unet_steps, args, [EMAWeightAveraging(decay=args.ema_decay)])
    save_weights(base_weights(model), args.output)
    print(f"base weights: {args.output}")


if __name__ == "__main__":
    run_script(main)
