"""Starting weights for a ControlNet (Zhang et al. 2023, Sec. 3.1).

The control branch begins as a copy of the U-Net's encoder; its hint encoder and its zero
convolutions begin as they are built.
"""

from collections.abc import Container, Iterable, Mapping

import torch

from cldm.names import AUTOENCODER, CONTROL, EMA, TEXT_ENCODER, UNET
from core.command_line.options import OptionError

# What programs leave in a base that only its training reads: losses, averages, parts of old losses
OF_TRAINING = (".loss.", ".model_ema.", ".logvar", ".colorize")
PARTS = {  # of a base, by the beginnings of their names
    UNET: "U-Net",
    AUTOENCODER: "autoencoder",
    TEXT_ENCODER: "text encoder",
}


def averaged_name(name: str) -> str:
    """Name under which a Stable Diffusion checkpoint keeps the averaged copy of a U-Net weight.

    `model.` is cut off, and so are all dots: `model_ema.diffusion_modeltime_embed0weight`.
    """
    return EMA + name.removeprefix("model.").replace(".", "")


def find_origins(names, source: Mapping[str, torch.Tensor], use_ema: bool) -> dict[str, str]:
    """Name in `source` for each of a model's weights; weights that it lacks are left out.

    A control branch that is there is left out too: half of it would be reset to the U-Net.

    With `use_ema` a U-Net weight comes from its averaged copy alone. A mixture of averaged and
    plain weights would be a network that nobody trained.
    """
    origins = {}
    for name in names:
        # The two halves share names behind the prefix. Hint encoder and zero convolutions have none
        # in the U-Net.
        wanted = name.replace(CONTROL, UNET, 1) if name.startswith(CONTROL) else name
        if use_ema and wanted.startswith(UNET):
            wanted = averaged_name(wanted)
        if wanted in source:
            origins[name] = wanted
    return origins


def check_no_extra_layers(names: Container[str], source: Mapping[str, torch.Tensor]) -> None:
    """Check that a base has no layers that a model lacks, such as GLIGEN's or a VQ autoencoder's.

    Raises:
        RuntimeError: it has; the message names one of their weights.
    """
    extra = [
        name
        for name in source
        if name.startswith((UNET, AUTOENCODER))
        and name not in names
        and not any(part in name for part in OF_TRAINING)
    ]
    if extra:
        raise RuntimeError(
            f"it has layers that the configuration lacks, with {len(extra)} tensor(s) such as "
            f"{extra[0]}. Take the plain base"
        )


def check_complete(
    names: Iterable[str], source: Mapping[str, torch.Tensor], origins: Mapping[str, str]
) -> None:
    """Check that a base brings every weight among `names`.

    Raises:
        RuntimeError: one has no origin; the message names the parts that lack weights.
    """
    names = list(names)
    gaps = []
    for prefix, part in PARTS.items():
        own = [name for name in names if name.startswith(prefix)]
        lacking = [name for name in own if name not in origins]
        if lacking and len(lacking) == len(own):
            gaps.append(f"no {part} ({prefix}*)")
        elif lacking:
            gaps.append(f"{len(lacking)} of {len(own)} tensors of the {part}, such as {lacking[0]}")
    if gaps:
        remedy = _remedy(source, len(gaps))
        raise RuntimeError(f"it lacks weights: {', '.join(gaps)}. {remedy}.")


def _remedy(source: Mapping[str, torch.Tensor], num_gaps: int) -> str:
    """Advice for a base that lacks this number of parts."""
    complete = "Take a complete Stable Diffusion checkpoint"
    present = {
        prefix for prefix in (*PARTS, CONTROL, EMA) if any(key.startswith(prefix) for key in source)
    }
    if present == {CONTROL}:
        return f"{complete}: this one holds a control branch alone"
    if num_gaps == 1 and EMA in present and UNET not in present:
        return "It has averaged copies of the U-Net; use_ema takes them"
    return complete


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
        model: a freshly built `ControlledDiffusionModel`. It is emptied, so that the weights are in
            memory once.
        source: tensors by their published names.
        use_ema: take the averaged copies of the U-Net's weights.
    Returns:
        All weights by name, and the names of the control branch that no U-Net has (hint encoder,
        zero convolutions). Those keep their initial values.
    Raises:
        OptionError: `use_ema`, but `source` holds no averaged copies.
        RuntimeError: `source` was made for another architecture, or lacks a part of a base, or has
            more layers.
    """
    averaged = any(name.startswith(EMA) for name in source)
    if use_ema and not averaged:
        raise OptionError("use_ema", f"the base has no averaged weights ({EMA}*)")
    own = model.state_dict()
    origins = find_origins(own, source, use_ema)
    buffers = {name for name, _ in model.named_buffers()}  # the schedule; need not be in the file
    lacking = [name for name in own if name not in origins and name not in buffers]
    # Any checkpoint of a diffusion model holds the schedule, so the schedule alone proves nothing.
    known = any(name.startswith((CONTROL, EMA)) for name in source)
    if origins.keys() <= buffers and not known:
        raise RuntimeError(
            f"none of its {len(source)} tensors has a name of this architecture, "
            f"such as {lacking[0]}"
        )
    check_shapes(own, source, origins)
    check_complete(own, source, origins)
    check_no_extra_layers(own, source)
    weights = {name: own[name].clone() for name in own if name not in origins}
    dtypes = {name: tensor.dtype for name, tensor in own.items()}
    del own  # it holds the tensors whose memory the next line frees
    model.to_empty(device="meta")  # gives its memory back before the copies need theirs
    for name, origin in origins.items():
        tensor = source[origin].to(dtypes[name])
        # Branch and U-Net must not share memory: training one would change the other.
        weights[name] = tensor.clone() if name.startswith(CONTROL) else tensor
    return weights, lacking
