"""Train a base model (autoencoder, then U-Net with its text encoder) on images without labels.

    python utils/pretrain_base.py --image_path phantoms/train/images --output base.safetensors

Without `--init` it starts from nothing; `--init BASE` adapts a given base to the images of another
microscope. Like any Stable Diffusion checkpoint, the result then goes through
`tool_add_control.py`. The losses are in `training/base/`.
"""

from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl

from core.checkpoints import save_weights
from core.devices import check_precision, pick_device, precision_option
from core.images import list_images
from core.options import add_options, new_parser, non_negative_int, option, read_options
from core.prompts import prompts_option, read_prompts
from share import run_script
from training.base.autoencoder import AutoencoderOptions, train_autoencoder
from training.base.data import read_images
from training.base.unet import UNetOptions, base_weights, build_base, train_unet
from training.latents import GB, CacheOptions, LatentCache

AUTOENCODER_FLAGS = {
    "steps": "vae_steps",
    "batch_size": "vae_batch_size",
    "learning_rate": "vae_learning_rate",
    "image_size": "vae_image_size",
    "kl_weight": "kl_weight",
    "edge_weight": "edge_weight",
}
UNET_FLAGS = {
    "steps": "unet_steps",
    "batch_size": "unet_batch_size",
    "learning_rate": "unet_learning_rate",
    "image_size": "image_size",
    "ema_decay": "ema_decay",
    "views_per_image": "views_per_image",
    "prompt_drop": "prompt_drop",
}


@dataclass(frozen=True)
class BaseFileOptions:
    """Files of a pre-training."""

    image_path: Path = option(
        None, Path, "DIR", "training images; no masks are needed", required=True
    )
    output: Path = option(
        None,
        Path,
        "FILE",
        "weights to write, .safetensors or .ckpt; must not exist",
        required=True,
    )
    config: Path = option(Path("models/cldm_nano.yaml"), Path, "YAML", "model configuration")
    init: Path | None = option(
        None, Path, "FILE", "start from these weights instead of random ones"
    )
    prompts_file: Path | None = prompts_option()


@dataclass(frozen=True)
class BaseRunOptions:
    """Options of both stages."""

    precision: str = precision_option()
    seed: int = option(0, non_negative_int, "INT", "seed of weights, views and noise")

    def check(self):
        """Raise OptionError for a precision that this machine lacks."""
        check_precision(self.precision, pick_device("auto").type)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, BaseFileOptions, "files")
    add_options(parser, AutoencoderOptions, "autoencoder", flags=AUTOENCODER_FLAGS)
    add_options(parser, UNetOptions, "U-Net and text encoder", flags=UNET_FLAGS)
    add_options(parser, CacheOptions, "memory")
    add_options(parser, BaseRunOptions, "run")
    args = parser.parse_args(argv)
    if args.output.suffix not in (".safetensors", ".ckpt"):
        parser.error(f"--output {args.output}: expected a name that ends in .safetensors or .ckpt")
    if not args.init and not (args.vae_steps and args.unet_steps):
        parser.error("--vae_steps 0 and --unet_steps 0 keep weights that --init must give")
    return args


def main(argv=None):
    args = parse_args(argv)
    files, run = read_options(BaseFileOptions, args), read_options(BaseRunOptions, args)
    autoencoder = read_options(AutoencoderOptions, args, AUTOENCODER_FLAGS)
    unet = read_options(UNetOptions, args, UNET_FLAGS)
    if files.output.exists():
        raise FileExistsError(f"--output {files.output} exists. Name another file or remove it.")
    prompts = read_prompts(files.prompts_file)
    paths = list_images(files.image_path)
    pl.seed_everything(run.seed, verbose=False)  # before the model, whose weights are random
    model = build_base(files.config, files.init)
    # Both stages crop the same images, so the larger crop decides which images are too small.
    images = read_images(paths, max(unet.image_size, autoencoder.image_size))
    print(f"{len(images)} images of {files.image_path}")
    files.output.parent.mkdir(parents=True, exist_ok=True)
    if autoencoder.steps:  # first: the U-Net is trained on the latents that it gives
        print(f"1/2 autoencoder, {autoencoder.steps} steps of {autoencoder.batch_size}")
        train_autoencoder(model, images, autoencoder, unet.image_size, run.seed, run.precision)
        # Hours of work: they are saved before the second stage can fail.
        halfway = files.output.with_stem(f"{files.output.stem}_vae")
        save_weights(base_weights(model), halfway)
        print(f"autoencoder trained; to go on from here: --init {halfway} --vae_steps 0")
    if unet.steps:
        print(f"2/2 U-Net and text encoder, {unet.steps} steps of {unet.batch_size}")
        cache = LatentCache(
            read_options(CacheOptions, args).latent_memory * GB, files.output.parent
        )
        train_unet(model, images, prompts, unet, cache, run.seed, run.precision)
    save_weights(base_weights(model), files.output)
    print(f"base weights: {files.output}")


if __name__ == "__main__":
    run_script(main)
