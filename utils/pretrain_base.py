"""Train a base model (autoencoder, then U-Net with its text encoder) on images without labels.

    python utils/pretrain_base.py --image_path phantoms/train/images --output base.safetensors

Without `--init` it starts from nothing; `--init BASE` adapts a given base to the images of another
microscope. Like any Stable Diffusion checkpoint, the result then goes through
`tool_add_control.py`. The losses are in `training/base/`.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cldm.options import NANO_CONFIG
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    OptionError,
    add_options,
    new_parser,
    non_negative_int,
    option,
    option_names,
    read_options,
)
from core.hardware.device_options import check_precision, pick_device, precision_option
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import list_images
from core.prompts import prompts_option, read_prompts
from core.recording.run_lock import RunLock
from core.weights.weight_files import WEIGHT_SUFFIXES
from share import run_script
from training.base.options import AutoencoderOptions, UNetOptions
from training.options import CacheOptions

AUTOENCODER_FLAGS = {
    "steps": "vae_steps",
    "batch_size": "vae_batch_size",
    "learning_rate": "vae_learning_rate",
    "image_size": "vae_image_size",
    "kl_weight": "kl_weight",
    "edge_weight": "edge_weight",
    "train": "vae_train",
    "adversarial_weight": "adversarial_weight",
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
        f"weights to write, {', '.join(WEIGHT_SUFFIXES)}; must not exist, nor the same name with "
        "_vae, where the autoencoder is saved first",
        required=True,
    )
    config: Path = option(NANO_CONFIG, Path, "YAML", "model configuration")
    init: Path | None = option(
        None, Path, "FILE", "start from these weights instead of random ones"
    )
    prompts_file: Path | None = prompts_option()

    @property
    def halfway(self) -> Path:
        """File of the weights after the first stage."""
        return self.output.with_stem(f"{self.output.stem}_vae")

    def check(self):
        """Raise OptionError where the output is no file of weights."""
        if self.output.suffix not in WEIGHT_SUFFIXES:
            expected = ", ".join(WEIGHT_SUFFIXES)
            raise OptionError("output", f"{self.output}: expected a name that ends in {expected}")

    def require_new(self, stages: int) -> None:
        """Raise OptionError where a file that is to be written exists already.

        Args:
            stages: 2, or 1 where the autoencoder is kept and not saved halfway.
        """
        for path in (self.output, self.halfway)[:stages]:
            if path.exists():
                raise OptionError(
                    "output", f"{path}: exists already. Name another file or remove it"
                )


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
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def plan_text(num_images, num_prompts, files, autoencoder, unet) -> str:
    """The stages of a pre-training, and the file that it writes."""
    return (
        f"{num_images} images of {files.image_path}, {num_prompts} prompts\n"
        f"1/2 autoencoder ({autoencoder.train}), {autoencoder.steps} steps of "
        f"{autoencoder.batch_size}\n"
        f"2/2 U-Net and text encoder, {unet.steps} steps of {unet.batch_size}\n"
        f"base weights: {files.output}"
    )


def train_stages(model, images, prompts, files, autoencoder, unet, run, cache) -> None:
    """Train both stages and write the weights."""
    from core.weights.checkpoints import save_weights  # here, as in `main`
    from training.base.autoencoder import train_autoencoder
    from training.base.unet import base_weights, train_unet

    if autoencoder.steps:  # first: the U-Net is trained on the latents that it gives
        train_autoencoder(model, images, autoencoder, unet.image_size, run.seed, run.precision)
        # Hours of work: they are saved before the second stage can fail.
        save_weights(base_weights(model), files.halfway)
        print(f"autoencoder trained; to go on from here: --init {files.halfway} --vae_steps 0")
    if unet.steps:
        train_unet(model, images, prompts, unet, cache, run.seed, run.precision)
    save_weights(base_weights(model), files.output)
    print(f"written: {files.output}")


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import pytorch_lightning as pl

    from ldm.modules.encoders.tokenizer import notify_of_cut
    from training.base.data import read_images
    from training.base.unet import build_base
    from training.step.latents import GB, LatentCache

    use_image_options(args)
    files, run = read_options(BaseFileOptions, args), read_options(BaseRunOptions, args)
    autoencoder = read_options(AutoencoderOptions, args, AUTOENCODER_FLAGS)
    unet = read_options(UNetOptions, args, UNET_FLAGS)
    if not files.init and not (autoencoder.steps and unet.steps):
        raise ValueError("--vae_steps 0 and --unet_steps 0 keep weights that --init must give")
    if not files.init and autoencoder.train == "decoder":
        raise ValueError("--vae_train decoder keeps an encoder that --init must give")
    stages = 2 if autoencoder.steps else 1
    with option_names():
        files.require_new(stages)
    prompts, paths = read_prompts(files.prompts_file), list_images(files.image_path)
    notify_of_cut(prompts, "--prompts_file")
    plan = plan_text(len(paths), len(prompts), files, autoencoder, unet)
    if args.dry_run:
        print(dry_run_text(vars(args), plan))
        return
    print(plan)
    folder = files.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    with closing(RunLock.of_file(files.output, "training a base")) as lock, option_names():
        lock.acquire()
        files.require_new(stages)  # again: the last holder of the lock may have written them
        pl.seed_everything(run.seed, verbose=False)  # before the model, whose weights are random
        model = build_base(files.config, files.init)
        # Both stages crop the same images, so the larger crop decides which images are too small.
        images = read_images(paths, max(unet.image_size, autoencoder.image_size))
        cache = LatentCache(read_options(CacheOptions, args).latent_memory * GB, folder)
        train_stages(model, images, prompts, files, autoencoder, unet, run, cache)


if __name__ == "__main__":
    run_script(main)
