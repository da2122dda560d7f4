"""Starting weights for a ControlNet (Zhang et al. 2023, Sec. 3.1).

The control branch begins as a copy of the U-Net's encoder; its hint encoder and its zero
convolutions begin as they are built.
"""

from collections.abc import Mapping

import torch

UNET, CONTROL, EMA = "model.diffusion_model.", "control_model.", "model_ema."


def averaged_name(name: str) -> str:
    """Name under which a Stable Diffusion checkpoint keeps the averaged copy of a U-Net weight.

    `model.` is cut off, and so are all dots: `model_ema.diffusion_modeltime_embed0weight`.
    """
    return EMA + name.removeprefix("model.").replace(".", "")


def find_origins(names, source: Mapping[str, torch.Tensor], use_ema: bool) -> dict[str, str]:
    """Name in `source` for each of a model's weights; weights that it lacks are left out."""
    origins = {}
    for name in names:
        origin = name
        # The two halves share names behind the prefix. Hint encoder and zero convolutions have none
        # in the U-Net.
        if name.startswith(CONTROL) and name.replace(CONTROL, UNET, 1) in source:
            origin = name.replace(CONTROL, UNET, 1)
        if use_ema and origin.startswith(UNET) and averaged_name(origin) in source:
            origin = averaged_name(origin)
        if origin in source:
            origins[name] = origin
    return origins


def check_shapes(
    own: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor], origins: Mapping[str, str]
) -> None:
    """Check that every weight in `own` has the shape of its origin in `source`.

    Raises:
        RuntimeError: one has not; the message names it and both shapes.
    """
    for name, origin in origins.items():
        found, expected = tuple(source[origin].shape), tuple(own[name].shape)
        if found != expected:
            raise RuntimeError(f"{origin} is {found}, the configuration has {expected}")


def add_control(
    model: torch.nn.Module, source: Mapping[str, torch.Tensor], use_ema: bool = False
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Weights for `model` from those of a model without control.

    Args:
        model: a freshly built ControlLDM. It is emptied, so that the weights are in memory once.
        source: tensors by their published names.
        use_ema: take the averaged copies of the U-Net's weights.
    Returns:
        All weights by name, and the names that `source` lacks, which keep their initial values.
    Raises:
        ValueError: `use_ema`, but `source` holds no averaged copies.
        RuntimeError: `source` was made for another architecture.
    """
    if use_ema and not any(name.startswith(EMA) for name in source):
        raise ValueError(f"use_ema: there are no averaged weights ({EMA}*)")
    own = model.state_dict()
    origins = find_origins(own, source, use_ema)
    buffers = {name for name, _ in model.named_buffers()}  # the schedule; need not be in the file
    lacking = [name for name in own if name not in origins and name not in buffers]
    # Any checkpoint of a diffusion model holds the schedule, so the schedule alone proves nothing.
    if origins.keys() <= buffers:
        raise RuntimeError(
            f"none of its {len(source)} tensors has a name of this architecture, "
            f"such as {lacking[0]}"
        )
    check_shapes(own, source, origins)
    weights = {name: own[name].clone() for name in own if name not in origins}
    dtypes = {name: tensor.dtype for name, tensor in own.items()}
    del own  # it holds the tensors whose memory the next line frees
    model.to_empty(device="meta")  # gives its memory back before the copies need theirs
    for name, origin in origins.items():
        tensor = source[origin].to(dtypes[name])
        # Branch and U-Net must not share memory: training one would change the other.
        weights[name] = tensor.clone() if name.startswith(CONTROL) else tensor
    return weights, lacking
