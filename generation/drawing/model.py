"""The model of a generation: one Stable Diffusion model, and a control network for each branch."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from cldm.base_encoder import notify_of_other_base
from cldm.known_texts import MOST_TEXTS, KnownTexts
from cldm.model import build_model, create_control
from cldm.multi import MultiConditionControlNet
from cldm.names import UNET
from cldm.parameterization import check_parameterization
from core.command_line.options import option_names
from core.hardware.bf16 import notify_of_slow_bf16
from core.hardware.devices import PRECISIONS, mixed_precision
from core.weights.foreign_layouts import load_original
from core.weights.weight_files import check_weights_file
from generation.options import ModelOptions
from generation.planning.branches import Branch

BASE = "base"  # key of the Stable Diffusion weights beside the names of the branches


def weights_files(branches: Sequence[Branch], base: Path | None) -> dict[str, Path]:
    """Files of weights by the name of their branch, and of the base where it has its own file.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a folder of diffusers is named, a branch has the name that stands for the base,
            no file holds the base, or a branch was trained on another kind of condition.
    """
    files = {branch.name: branch.weights for branch in branches}
    if base and BASE in files:
        raise ValueError(
            f"a branch is named {BASE}, the name of the file that --base_weights_path gives. "
            "Rename the branch."
        )
    if base:
        files[BASE] = base
    for path in files.values():
        check_weights_file(path)
    for branch in branches:
        branch.check_trained_condition()
    # A control-only file has nothing that an image could be drawn with. Its tensors are mapped, and
    # its checksums compared for the load that follows too.
    first = branches[0].weights
    if not base and not any(key.startswith(UNET) for key in load_original(first)):
        raise ValueError(
            f"{first}: holds no Stable Diffusion weights. "
            "Name those it was trained on with --base_weights_path."
        )
    for branch in branches:
        notify_of_other_base(branch.weights, base or first)
    return files


def load_model(options: ModelOptions, branches: Sequence[Branch]) -> torch.nn.Module:
    """A `ControlledDiffusionModel` with all branches, in evaluation mode on its device.

    The first branch's file brings the base too, unless `base_weights_path` is given: then
    everything but the control networks comes from there. Of the other files only the control
    networks are loaded, which saves their memory. Layers have the type that they compute in, which
    halves the rest: the model must run in `mixed_precision`.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: see `build_model`, `create_control` and
            `check_parameterization`.
    """
    first, *others = branches
    notify_of_slow_bf16(options.device_type, options.precision)
    config, layer_dtype = options.config_yaml_path, PRECISIONS[options.precision]
    with option_names({"layer_dtype": "precision"}):
        model = build_model(
            config,
            first.weights,
            first.condition.hint_channels,
            base_path=options.base_weights_path,
            layer_dtype=layer_dtype,
        )
        # The first branch's network is in the model already, loaded with it.
        controls = [model.control_model]
        controls += [
            create_control(config, branch.weights, branch.condition.hint_channels, layer_dtype)
            for branch in others
        ]
    model.control_model = MultiConditionControlNet(
        controls,
        [branch.condition.hint_channels for branch in branches],
        [branch.name for branch in branches],
        [branch.strength for branch in branches],
    )
    device = options.device_type
    # torchrun starts one process for each GPU and numbers them
    model.to(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device)
    with mixed_precision(model.device.type, options.precision):
        check_parameterization(model, config, options.base_weights_path or first.weights)
    return model


def drop_encoders(
    model: torch.nn.Module, texts: Collection[str], from_images: bool, precision: str
) -> None:
    """Free the memory of encoders that a run does not need while it draws.

    In SD 1.5 that is 0.4 GiB of a model in 16 bits. Texts are embedded before; where they are very
    many, their encoder stays.

    Args:
        model: of `load_model`, with this precision.
        texts: all prompts of the run.
        from_images: whether an image begins with a real one.
    """
    if len(texts) <= MOST_TEXTS:
        with mixed_precision(model.device.type, precision):
            model.cond_stage_model = KnownTexts(model.cond_stage_model, texts)
    if not from_images:
        model.first_stage_model.encoder = None
