"""Options of a pre-training: its files, its two stages, its machine."""

from dataclasses import dataclass
from pathlib import Path

from cldm.options import NANO_CONFIG
from core.command_line.groups import group, groups_of
from core.command_line.options import (
    OptionError,
    fraction,
    non_negative_float,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)
from core.hardware.device_options import check_precision, pick_device, precision_option
from core.prompts import prompts_option
from core.recording.run_files import can_restore
from core.weights.weight_files import WEIGHT_SUFFIXES
from training.options import CacheOptions

TRAINABLE = ("all", "decoder")
RECORD = "pretraining.json"  # in the folder of a pre-training that is not finished


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
    train: str = option(
        "all",
        None,
        None,
        "decoder: keep the encoder, and so every latent and every U-Net trained on them",
        choices=TRAINABLE,
    )
    adversarial_weight: float = option(
        0.0,
        non_negative_float,
        "FLOAT",
        "weight of a discriminator, which makes the decoder draw texture and crisper edges; try "
        "0.5 to 1 with the trained autoencoder of --init",
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
        "_vae, where the autoencoder is saved first. The same command goes on where it was stopped",
        required=True,
    )
    config: Path = option(NANO_CONFIG, Path, "YAML", "model configuration")
    init: Path | None = option(
        None, Path, "FILE", "start from these weights instead of random ones"
    )
    prompts_file: Path | None = prompts_option()
    save_every: int = option(
        500,
        positive_int,
        "STEPS",
        "steps between two checkpoints; they stay in OUTPUT_training until the base is written",
    )

    @property
    def halfway(self) -> Path:
        """File of the weights after the first stage."""
        return self.output.with_stem(f"{self.output.stem}_vae")

    @property
    def work_folder(self) -> Path:
        """Folder from which a pre-training goes on that was stopped."""
        return self.output.with_name(f"{self.output.stem}_training")

    @property
    def read_once(self) -> dict[str, Path]:
        """The files that are read at the start, by option."""
        named = {"config": self.config, "init": self.init, "prompts_file": self.prompts_file}
        return {name: path for name, path in named.items() if path}

    @property
    def goes_on(self) -> bool:
        """True where that folder holds something to go on from."""
        return any(can_restore(stage) for stage in self.work_folder.glob("*"))

    def check(self):
        """Raise OptionError where the output is no file of weights."""
        if self.output.suffix not in WEIGHT_SUFFIXES:
            expected = ", ".join(WEIGHT_SUFFIXES)
            raise OptionError("output", f"{self.output}: expected a name that ends in {expected}")


@dataclass(frozen=True)
class BaseRunOptions:
    """Options of both stages."""

    precision: str = precision_option()
    seed: int = option(0, non_negative_int, "INT", "seed of weights, views and noise")

    def check(self):
        """Raise OptionError for a precision that this machine lacks."""
        check_precision(self.precision, pick_device("auto").type)


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
class BaseOptions:
    """All groups of a pre-training's options."""

    files: BaseFileOptions = group("files")
    autoencoder: AutoencoderOptions = group("autoencoder", AUTOENCODER_FLAGS)
    unet: UNetOptions = group("U-Net and text encoder", UNET_FLAGS)
    cache: CacheOptions = group("memory")
    run: BaseRunOptions = group("run")

    def check(self) -> None:
        """Raise ValueError for options of a stage without steps, missing weights or old files."""
        if not self.files.init and not (self.autoencoder.steps and self.unet.steps):
            raise ValueError("--vae_steps 0 and --unet_steps 0 keep weights that --init must give")
        if not self.files.init and self.autoencoder.train == "decoder":
            raise ValueError("--vae_train decoder keeps an encoder that --init must give")
        first = self.autoencoder
        if not first.steps and (first.train == "decoder" or first.adversarial_weight):
            raise ValueError(
                "--vae_steps 0 trains no autoencoder: leave out --vae_train decoder and "
                "--adversarial_weight, or give it steps"
            )
        self.require_new_files()

    def require_new_files(self) -> None:
        """Raise ValueError where a file or folder that is to be written exists already."""
        work = self.files.work_folder
        empty = work.is_dir() and not work.is_symlink() and not any(work.iterdir())
        if work.exists() and not empty and not (work / RECORD).is_file():
            raise ValueError(
                f"--output: {work}: is where a pre-training keeps its work, but holds something "
                "else. Name another file, or move the folder away"
            )
        files = [self.files.output]
        # Without the first stage nothing is saved halfway; where one goes on, perhaps it has been.
        if self.autoencoder.steps and not self.files.goes_on:
            files.append(self.files.halfway)
        for path in files:
            if path.exists():
                raise ValueError(
                    f"--output: {path}: exists already. Name another file or remove it"
                )

    def plan_text(self, num_images: int, num_prompts: int) -> str:
        """The stages of the pre-training, and the file that it writes."""
        autoencoder, unet = self.autoencoder, self.unet
        return (
            f"{num_images} images of {self.files.image_path}, {num_prompts} prompts\n"
            f"1/2 autoencoder ({autoencoder.train}), {autoencoder.steps} steps of "
            f"{autoencoder.batch_size}\n"
            f"2/2 U-Net and text encoder, {unet.steps} steps of {unet.batch_size}\n"
            f"base weights: {self.files.output}, until then {self.files.work_folder}"
        )


GROUPS = groups_of(BaseOptions)
