"""Options of a training, apart from those that stand beside code that loads no torch."""

import math
from dataclasses import dataclass
from pathlib import Path

from cldm.options import DEFAULT_CONFIG, PREVIEW
from conditions import CONDITIONS
from core.command_line.options import (
    OptionError,
    fraction,
    non_negative_float,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)
from core.hardware.device_options import device_option
from core.imaging.resampling import pixel_size_option
from fid.backbones.options import CemOptions
from training.names import BEST_FID
from training.processes import Processes

# The script's names for the options of images and network.
SAMPLING_FLAGS = {
    "steps": "fid_ddim_steps",
    "scale": "fid_guidance_scale",
    "eta": "fid_eta",
    "strength": "fid_control_strength",
}
NETWORK_FLAGS = {
    "network": "fid_backbone",
    "image_size": "fid_image_size",
    "device": "fid_device",
    "weights_path": "fid_weights_path",
    "download_dir": "fid_download_dir",
}
SAMPLING = PREVIEW  # the published defaults; a generation has others


def _folder(what: str):
    return option(None, Path, "DIR", what)


@dataclass(frozen=True)
class DataOptions:
    """Images, and the conditions that steer them."""

    image_path: Path | None = _folder("training images; always needed")
    mask_path: Path | None = _folder("training masks, for --condition_type segmentation")
    edge_path: Path | None = _folder("training edge maps, for --condition_type edge")
    rgba_path: Path | None = _folder("training RGBA tensors, for --condition_type rgba")
    condition_path: Path | None = _folder(
        "training conditions of any type; this or the folder of the type is needed"
    )
    val_image_path: Path | None = _folder("validation images")
    val_mask_path: Path | None = _folder("validation masks, for --condition_type segmentation")
    val_edge_path: Path | None = _folder("validation edge maps, for --condition_type edge")
    val_rgba_path: Path | None = _folder("validation RGBA tensors, for --condition_type rgba")
    val_condition_path: Path | None = _folder("validation conditions of any type")
    condition_type: str = option(
        "segmentation", help="what the control branch is shown", choices=tuple(CONDITIONS)
    )
    pixel_size: float | None = pixel_size_option("images and conditions")
    num_workers: int = option(
        0,
        non_negative_int,
        "INT",
        "processes that read images; 0 reads in the training process",
        free_on_resume=True,
    )

    @property
    def folder_option(self) -> str:
        """Name of the option that gives this type's folder, for messages."""
        # Named in an error, so the option that the user has given or most probably forgot.
        own = CONDITIONS[self.condition_type].folder_option
        return own if self.condition_path is None else "condition_path"

    def condition_folder(self, split: str = "") -> Path | None:
        """Folder of the conditions; `split` is empty for training, `val_` for validation."""
        own = getattr(self, split + CONDITIONS[self.condition_type].folder_option)
        return own or getattr(self, f"{split}condition_path")

    @property
    def has_validation(self) -> bool:
        return self.val_image_path is not None

    def check(self):
        """Raise OptionError where a folder is missing."""
        if self.image_path is None:
            raise OptionError("image_path", "is needed")
        if self.condition_folder() is None:
            reason = f"is needed for --condition_type {self.condition_type}"
            raise OptionError(self.folder_option, reason)
        if not CONDITIONS[self.condition_type].validation_needs_images and not self.has_validation:
            return
        # Images without conditions, or the other way round, are rather a mistake than a wish.
        if self.has_validation != (self.condition_folder("val_") is not None):
            given = "val_image_path" if self.has_validation else f"val_{self.folder_option}"
            missing = f"val_{self.folder_option}" if self.has_validation else "val_image_path"
            raise OptionError(given, f"belongs together with --{missing}")


@dataclass(frozen=True)
class CacheOptions:
    """Place of the cached latents of views."""

    latent_memory: float = option(
        4.0,
        non_negative_float,
        "GB",
        "memory for latents, per process; further ones go to a file in the output's folder",
        free_on_resume=True,
    )


@dataclass(frozen=True)
class TrainedModelOptions:
    """The model and the weights that its training starts from."""

    cldm_config_path: Path = option(DEFAULT_CONFIG, Path, "YAML", "model configuration")
    resume_path: Path = option(
        Path("./models/control_sd15_ini.ckpt"),
        Path,
        "FILE",
        "weights to initialise from, .ckpt, .pth or .safetensors; optimizer and step start anew",
        aliases=("--resume",),
    )
    base_weights_path: Path | None = option(
        None,
        Path,
        "FILE",
        "Stable Diffusion weights, from which everything but the control branch comes; needed "
        "where --resume_path holds a control branch alone",
    )
    init_extra_hint: str = option(
        "random",
        help="first hint convolution where --resume_path has another number of hint "
        "channels: anew, or, where it has fewer, kept and zeros added",
        choices=("random", "zeros"),
    )
    sd_locked: bool = option(True, bool, help="keep the Stable Diffusion decoder frozen")
    only_mid_control: bool = option(False, bool, help="use the middle block's residual alone")


@dataclass(frozen=True)
class OptimizationOptions:
    """Batches, steps and learning rate."""

    batch_size: int = option(
        2, positive_int, "INT", "images per step and process, that is, per GPU"
    )
    accumulate_grad_batches: int = option(1, positive_int, "INT", "batches per optimizer step")
    learning_rate: float = option(1e-5, positive_float, "FLOAT", "learning rate of AdamW")
    max_epochs: int = option(
        600, positive_int, "INT", "passes over the images", free_on_resume=True
    )
    max_steps: int | None = option(
        None,
        positive_int,
        "INT",
        "optimizer steps; ends the run if reached before --max_epochs",
        free_on_resume=True,
    )
    ema_decay: float | None = option(
        None,
        fraction,
        "P",
        "decay of averaged weights, such as 0.999, which are validated and kept as the best; none "
        "when not given",
    )
    validate_every: int | None = option(
        None,
        positive_int,
        "STEPS",
        "optimizer steps between validations, instead of an epoch",
        free_on_resume=True,
    )
    patience: int | None = option(
        None,
        positive_int,
        "INT",
        "end after so many validations without a lower val/loss",
        free_on_resume=True,
    )
    seed: int = option(0, non_negative_int, "INT", "seed of data order, crops, prompts and noise")

    def whole_batch(self, processes: Processes) -> int:
        """Images in the batches of all processes together."""
        return self.batch_size * processes.total

    def total_steps(self, images: int, processes: Processes) -> int:
        """Optimizer steps of a training for `images` training images."""
        # The last optimizer step of an epoch may have fewer batches.
        batches = self.batches_per_epoch(images, processes)
        steps = math.ceil(batches / self.accumulate_grad_batches) * self.max_epochs
        return min(steps, self.max_steps or steps)

    def batches_per_epoch(self, images: int, processes: Processes) -> int:
        """Batches of all processes together that `images` images make; the last may be smaller."""
        return math.ceil(images / self.whole_batch(processes))

    def describe(self, images: int, processes: Processes) -> str:
        """One line about the size of an optimizer step on `images` training images."""
        accumulated = self.accumulate_grad_batches
        batches = f" x {accumulated} batches" if accumulated > 1 else ""
        wanted = self.whole_batch(processes) * accumulated
        # Gradients add up within an epoch: its end ends the step.
        limit = ", as many as an epoch has" if wanted > images else ""
        return (
            f"{min(wanted, images)} images per optimizer step "
            f"({self.batch_size} x {processes.total} process(es){batches}{limit}), "
            f"learning rate {self.learning_rate:g}"
        )


@dataclass(frozen=True)
class MemoryOptions:
    """Activations that a training step keeps in memory."""

    gradient_checkpointing: str = option(
        "auto",
        choices=("auto", "on", "off"),
        help="compute blocks again in the backward pass: less memory, up to a third more time; "
        "auto does so where the configuration says use_checkpoint: true and a step would not fit "
        "into the free memory otherwise",
        free_on_resume=True,
    )


@dataclass(frozen=True)
class ValidationNetworkOptions(CemOptions):
    """`CemOptions` with the published defaults of a training; a FID of folders has others."""

    image_size: int = option(
        512, positive_int, "PIXELS", "height and width that images are resized to"
    )
    device: str = device_option("cuda")  # the published default; without a GPU it means the CPU

    def check(self):
        """Check nothing: the device is used only where images are scored."""


@dataclass(frozen=True)
class ValidationFidOptions:
    """Images that are drawn and scored after each validation."""

    enable_val_fid: bool = option(
        False,
        bool,
        help="after each validation draw an image for every validation condition; "
        "log val/cem_fid and val/cem_kid",
    )
    fid_batch_size: int = option(2, positive_int, "INT", "images drawn at once")
    fid_num_workers: int = option(
        0, non_negative_int, "INT", "processes that read the validation pairs"
    )
    fid_seed: int = option(
        1234, non_negative_int, "INT", "seed of the images, the same ones after every epoch"
    )
    monitor: str = option(
        "val/loss",
        help=f"val/cem_fid also keeps {BEST_FID}, the best epoch by FID",
        choices=("val/loss", "val/cem_fid"),
    )

    def check(self):
        """Raise OptionError where the FID is monitored but not computed."""
        if self.monitor == "val/cem_fid" and not self.enable_val_fid:
            raise OptionError("monitor", "val/cem_fid needs --enable_val_fid")


@dataclass(frozen=True)
class AgreementOptions:
    """Pictures that are drawn and segmented after each validation."""

    agreement_segmenter: Path | None = option(
        None,
        Path,
        "FILE",
        "segmenter of utils/train_segmenter.py; after each validation it segments drawn images, "
        "val/agreement is its mIoU, and the best weights by it are kept too",
    )
    agreement_images: int = option(
        8, positive_int, "INT", "validation masks that --agreement_segmenter is shown images of"
    )
