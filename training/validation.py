"""The FID of images that a training draws for its validation conditions."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from cldm.options import PREVIEW, SamplingOptions
from cldm.sampling import sample_images
from core.device_options import device_option
from core.lightning import print_once
from core.options import OptionError, non_negative_int, option, option_names, positive_int
from dataset import ValidationSet, channels_first
from fid.backbones.loading import CemOptions, load_backbone
from fid.validation import ValidationFid
from training.checkpoints import BEST_FID

GENERATIONS = "val_generations"  # folder in that of the run, as published
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


def build_validation_fid(
    options: ValidationFidOptions,
    sampling: SamplingOptions,
    network: CemOptions,
    dataset: ValidationSet,
    run_dir: Path,
) -> ValidationFid:
    """The callback that draws and scores, with its network loaded.

    It keeps the images of each epoch in `GENERATIONS`, a folder in `run_dir`.

    Raises:
        ValueError: there is a single validation image.
        FileNotFoundError, ValueError, OSError, RuntimeError: see `load_backbone`.
    """
    if len(dataset) < 2:
        raise ValueError(
            f"--enable_val_fid: found {len(dataset)} validation image(s), expected at least two; "
            "a FID compares how images vary"
        )

    # As a function: the FID knows neither models nor samplers.
    def draw(pl_module, samples, seeds):
        hints = [channels_first([sample.hint for sample in samples])]
        prompts = [sample.prompt for sample in samples]
        return sample_images(pl_module.model, hints, prompts, seeds, sampling)

    # The published default must also serve a machine without a GPU. Any other name is what the user
    # asked for, and is refused where it is not there.
    if network.device == "cuda" and not torch.cuda.is_available():
        print_once("no GPU found: the network of the validation FID computes on the CPU")
        network = dataclasses.replace(network, device="cpu")
    with option_names(NETWORK_FLAGS):
        backbone = load_backbone(network, "--fid_weights_path")
    return ValidationFid(
        dataset,
        backbone,
        draw,
        options.fid_batch_size,
        options.fid_num_workers,
        options.fid_seed,
        run_dir / GENERATIONS,
    )
