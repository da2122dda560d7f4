"""Gradient checkpointing: fewer activations in memory, more arithmetic (Chen et al. 2016).

With it, every block of the U-Net and of the control branch is computed again in the backward pass.
The gradients are the same to the last bit, so a run may change it when it goes on.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from core.hardware.devices import PRECISIONS
from core.hardware.memory import free_memory
from ldm.modules.packing import can_pack

USED = 0.9  # of the free memory; the rest is for workspaces and fragments
STATES = 3  # tensors of AdamW for each trained one: gradient and two moments
GIB = 2**30


@dataclass(frozen=True)
class StepSize:
    """Options that the memory of a training step depends on, beside the model.

    Attributes:
        batch_size: images per step of one process.
        image_size: height and width in pixels.
        precision: one of `core.hardware.devices.PRECISIONS`.
        averaged: whether trained weights are averaged.
    """

    batch_size: int
    image_size: int
    precision: str
    averaged: bool = False


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """Turn gradient checkpointing of all blocks on or off."""
    for module in model.modules():
        if hasattr(module, "use_checkpoint"):
            module.use_checkpoint = on


def uses_checkpointing(model: nn.Module) -> bool:
    """Tell whether a block has gradient checkpointing on."""
    return any(getattr(module, "use_checkpoint", False) for module in model.modules())


def choose_checkpointing(
    choice: str, model: nn.Module, size: StepSize, device: torch.device, free: int
) -> str | None:
    """Set the gradient checkpointing of `model` as `--gradient_checkpointing` says.

    Args:
        choice: `auto`, `on` or `off`.
        model: a `ControlledDiffusionModel`. What is not trained is frozen here.
        device: that of the training.
        free: bytes that are free there for this process, without the model.
    Returns:
        A line that says what `auto` decided, and why; None where there was nothing to decide.
    """
    if choice != "auto":
        set_checkpointing(model, choice == "on")
        return None
    if not uses_checkpointing(model):
        return None  # a small model
    set_checkpointing(model, False)
    needed = step_memory(model, size, device.type)
    on = needed > USED * free
    set_checkpointing(model, on)
    return (
        f"gradient checkpointing: {'on' if on else 'off'}, a step without it takes about "
        f"{needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free"
    )


def memory_per_process(device: torch.device, processes_here: int) -> int:
    """Bytes that are free for each training process of this machine."""
    return free_memory(device) // (1 if device.type == "cuda" else processes_here)


def step_memory(model: nn.Module, size: StepSize, device_type: str) -> int:
    """Bytes that a training step of `model` takes, an estimate that is mostly a few percent off.

    They are those of all weights, of the optimizer and of what one forward pass keeps for the
    backward pass. The pass runs on tensors without content, so it takes a second and no memory.
    """
    model.freeze_the_rest()
    weights = [*model.parameters(), *model.buffers()]
    trained = sum(tensor.nbytes for tensor in weights if tensor.requires_grad)
    states = trained * (STATES + size.averaged)
    held = sum(tensor.nbytes for tensor in weights) + states
    if device_type == "cpu" and size.precision == "bf16" and can_pack():
        # Locked weights are held rounded as well, half of what float32 takes. This is the most that
        # a step takes: where a file is mapped, its float32 weights leave the memory.
        locked = (p for p in model.model.diffusion_model.parameters() if not p.requires_grad)
        held += sum(parameter.nbytes for parameter in locked) // 2
    return held + _kept_bytes(model, size, device_type)


class _Loss(nn.Module):
    """The loss as a module, whose weights `functional_call` can replace."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        return self.model.sample_losses(*inputs)  # (N,)


def _kept_bytes(model, size, device_type):
    """Bytes that autograd keeps between forward and backward pass, weights excluded."""
    mode, loss, kept = FakeTensorMode(), _Loss(model), {}
    tensors = {**dict(loss.named_parameters()), **dict(loss.named_buffers())}
    half = PRECISIONS[size.precision]
    with mode, torch.device(device_type):
        weights = {name: _empty_like(tensor) for name, tensor in tensors.items()}
        for tensor in weights.values():
            kept[tensor.untyped_storage()._cdata] = 0, tensor.untyped_storage()
        inputs = _inputs(model, size)

        def pack(tensor):
            storage = tensor.untyped_storage()
            # Beside the storage itself: its number may be given anew once it is gone.
            kept.setdefault(storage._cdata, (storage.nbytes(), storage))
            return tensor

        mixed = nullcontext() if half == torch.float32 else torch.autocast(device_type, half)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mixed:
            functional_call(loss, weights, inputs)
    return sum(count for count, _ in kept.values())


def _empty_like(tensor):
    """A tensor of the same size on the device at hand, trained where `tensor` is."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, requires_grad=tensor.requires_grad)


def _inputs(model, size):
    """Empty inputs of `ControlledDiffusionModel.sample_losses`."""
    n, side = size.batch_size, size.image_size
    latent = side // model.first_stage_model.downsampling
    x_start = torch.empty(n, model.channels, latent, latent)
    context = torch.empty(n, 77, model.control_model.transformer_options["context_dim"])
    hint = torch.empty(n, model.control_model.hint_channels, side, side)
    cond = {"c_crossattn": [context], "c_concat": [hint]}
    t = torch.zeros(n, dtype=torch.int64)
    return x_start, cond, t, torch.empty_like(x_start)
