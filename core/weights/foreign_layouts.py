"""Weights files of other programs, recognised by the names of their tensors."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from core.weights.checkpoints import load_state_dict
from core.weights.weight_files import CONVERT

CONTROL = "control_model."  # before the names of a control branch
# Starts a name in a control branch, and none in a U-Net, where `CONTROL` was left out.
BARE_CONTROL = "zero_convs."
PUBLISHED = re.compile(  # beginnings of names, also behind what a trainer put before all of them
    r"(^|(?<=\.))"
    r"(model\.diffusion_model|control_model|first_stage_model|cond_stage_model|zero_convs)\."
)
ORIGINAL = "Take the file in the original layout of Stable Diffusion, with names such as"
BASE = f"{ORIGINAL} model.diffusion_model.*"
# Pattern in a tensor's name, what the file is, what to do. The first match counts: a LoRA also has
# names of the network that it changes, and a ControlNet those of a U-Net.
LAYOUTS = (
    (
        r"(^|[._])lora[._]|\.hada_w|\.lokr_w",
        "a LoRA, which only changes the weights of a base",
        "Merge it into its base first",
    ),
    (
        r"^controlnet_(cond_embedding|down_blocks|mid_block)\.",
        "a ControlNet of diffusers",
        CONVERT,
    ),
    (
        r"^difference$",
        "a ControlNet that is stored as the difference from its base",
        "Take the file with the whole branch",
    ),
    (r"^(unet\.)?(down_blocks|mid_block|up_blocks)\.", "a U-Net of diffusers", BASE),
    (
        r"^(vae\.)?(encoder|decoder)\.(down_blocks|mid_block|up_blocks)\.",
        "an autoencoder of diffusers",
        BASE,
    ),
    (r"^(text_encoder\.)?text_model\.", "a text encoder of transformers", BASE),
    (r"^conditioner\.embedders\.", "Stable Diffusion XL", "Take version 1.5 or 2.1"),
    (
        r"^(model\.diffusion_model\.)?(joint_blocks|double_blocks)\.",
        "a diffusion transformer (Stable Diffusion 3, Flux)",
        "Take Stable Diffusion 1.5 or 2.1",
    ),
)


def foreign_layout(names: Iterable[str]) -> str | None:
    """Description of a file with these tensor names, with advice; None for an unknown layout."""
    names = list(names)
    for pattern, layout, remedy in LAYOUTS:
        if any(re.search(pattern, name) for name in names):
            return f"{layout}. {remedy}."
    return None


def added_prefix(names: Iterable[str]) -> str:
    """The text that a trainer put before all names, such as `module.`; empty where there is none.

    It is known where a published name begins behind it.
    """
    names = list(names)
    first = next(filter(None, map(PUBLISHED.search, names)), None)
    prefix = first.string[: first.start()] if first else ""
    return prefix if all(name.startswith(prefix) for name in names) else ""


def load_original(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a file in the layout that Stable Diffusion was published in.

    What stands before all names is taken off, see `added_prefix`. A control branch alone, whose
    names lack `control_model.`, gets it.

    Raises:
        FileNotFoundError, ValueError: as `load_state_dict`.
        ValueError: another program's layout; the message names it.
    """
    tensors = load_state_dict(path)
    prefix = added_prefix(tensors)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    if layout := foreign_layout(tensors):
        raise ValueError(f"{path}: is {layout}")
    if any(name.startswith(BARE_CONTROL) for name in tensors):
        return {f"{CONTROL}{name}": tensor for name, tensor in tensors.items()}
    return tensors
