"""A control branch for another base than the one that it was trained on.

The branch began as a copy of its base's encoder (Zhang et al. 2023, Sec. 3.1). What training added
to that copy is added to the encoder of the other base. This is the transfer of the published code;
the paper does not evaluate it.
"""

from collections.abc import Iterable, Mapping

import torch

from cldm.control_weights.add_control import check_no_extra_layers
from cldm.names import CONTROL, UNET

# Difference of two copies of one weight, of which one went through half precision.
SAME_RTOL, SAME_ATOL = 1e-2, 1e-3


def check_weights(
    shapes: Mapping[str, tuple[int, ...]],
    names: Iterable[str],
    source: Mapping[str, torch.Tensor],
    title: str,
) -> None:
    """Check that `source` has all of these weights, in the shapes of the configuration.

    Args:
        shapes: of the model's weights, by name.
        title: what `source` is, for messages.
    Raises:
        RuntimeError: weights are missing or of another shape; the message names one.
    """
    names = list(names)
    lacking = [name for name in names if name not in source]
    if lacking:
        raise RuntimeError(
            f"{title} lacks {len(lacking)} of {len(names)} tensors, such as {lacking[0]}"
        )
    for name in names:
        found = tuple(source[name].shape)
        if found != shapes[name]:
            raise RuntimeError(f"{title}: {name} is {found}, the configuration has {shapes[name]}")


def check_same_base(
    old_base: Mapping[str, torch.Tensor],
    with_control: Mapping[str, torch.Tensor],
    names: Iterable[str],
    title: str,
) -> None:
    """Check that the U-Net beside a control branch is that of its base, where there is one.

    The encoder of the U-Net stays locked while a branch is trained.

    Args:
        names: of the encoder's weights.
        title: what `old_base` is, for the message.
    Raises:
        RuntimeError: a weight differs; the message names it.
    """
    for name in names:
        if name not in with_control:
            continue
        ours, theirs = old_base[name].float(), with_control[name].float()
        if not torch.allclose(ours, theirs, rtol=SAME_RTOL, atol=SAME_ATOL):
            raise RuntimeError(
                f"the control branch was not trained on {title}: {name} differs. "
                "Give the base of that training"
            )


def transfer_control(
    shapes: Mapping[str, tuple[int, ...]],
    schedule: Iterable[str],
    old_base: Mapping[str, torch.Tensor],
    with_control: Mapping[str, torch.Tensor],
    new_base: Mapping[str, torch.Tensor],
    titles: tuple[str, str, str] = ("the old base", "the model with control", "the new base"),
) -> dict[str, torch.Tensor]:
    """Weights of the new base with a control branch for it.

    Weights that the branch copied from the old base's encoder become the trained ones plus the
    difference of the bases. Hint encoder and zero convolutions, which no U-Net has, stay as they
    are.

    Args:
        shapes: of the model's weights, by name.
        schedule: names among them that a file may leave out.
        old_base, with_control, new_base: tensors by their published names.
        titles: what these three are, for messages.
    Returns:
        All weights by name; those of the branch are float32.
    Raises:
        RuntimeError: weights are missing or of another architecture, or the branch was trained on
            another base.
    """
    optional = set(schedule)
    control = [name for name in shapes if name.startswith(CONTROL)]
    base = [name for name in shapes if not name.startswith(CONTROL) and name not in optional]
    origins = {name: name.replace(CONTROL, UNET, 1) for name in control}
    origins = {name: origin for name, origin in origins.items() if origin in shapes}
    check_weights(shapes, control, with_control, titles[1])
    check_weights(shapes, origins.values(), old_base, titles[0])
    check_weights(shapes, base, new_base, titles[2])
    try:
        check_no_extra_layers(shapes, new_base)
    except RuntimeError as error:
        raise RuntimeError(f"{titles[2]}: {error}") from error
    check_same_base(old_base, with_control, origins.values(), titles[0])
    weights = {name: new_base[name] for name in (*base, *optional) if name in new_base}
    for name in control:
        weights[name] = with_control[name].float()
        if name in origins:
            # In float32: the difference of two bases in half precision has few digits left.
            origin = origins[name]
            weights[name] = weights[name] + new_base[origin].float() - old_base[origin].float()
    return weights
