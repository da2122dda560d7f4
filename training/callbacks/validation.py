"""The FID of images that a training draws for its validation conditions."""

import dataclasses
from pathlib import Path

import torch

from cldm.options import SamplingOptions
from cldm.sampling import sample_images
from core.command_line.options import option_names
from core.notices import report
from core.samples import channels_first
from dataset import ValidationSet
from fid.backbones.loading import load_backbone
from fid.backbones.options import CemOptions
from fid.validation import ValidationFid
from training.options import NETWORK_FLAGS, ValidationFidOptions

GENERATIONS = "val_generations"  # folder in that of the run, as published


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

    # As a function: the FID asks for pictures, and knows neither hints nor samplers.
    def draw(pl_module, samples, seeds):
        hints = [channels_first([sample.hint for sample in samples])]
        prompts = [sample.prompt for sample in samples]
        return sample_images(pl_module.model, hints, prompts, seeds, sampling)

    # The published default must also serve a machine without a GPU. Any other name is what the user
    # asked for, and is refused where it is not there.
    if network.device == "cuda" and not torch.cuda.is_available():
        report("no GPU found: the network of the validation FID computes on the CPU")
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
