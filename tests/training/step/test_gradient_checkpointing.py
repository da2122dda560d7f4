"""The choice of gradient checkpointing, and the memory that it is made by."""

import pytest
import torch

from cldm.model import create_model
from tests.weights import fill_zero_layers
from training.step.gradient_checkpointing import (
    GIB,
    StepSize,
    choose_checkpointing,
    memory_per_process,
    set_checkpointing,
    step_memory,
)

CPU = torch.device("cpu")
SIZE = StepSize(batch_size=2, image_size=64, precision="32")


@pytest.fixture
def model(micro_yaml):
    """The micro model in training, all its layers at work."""
    model = fill_zero_layers(create_model(micro_yaml), std=0.05).train()
    model.freeze_the_rest()
    return model


@pytest.fixture
def losses(model):
    """Function that returns losses of two images of 64 pixels."""
    context = model.get_learned_conditioning(["a", "b"])
    x_start, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    cond = {"c_crossattn": [context], "c_concat": [torch.rand(2, 3, 64, 64)]}
    return lambda: model.sample_losses(x_start, cond, torch.tensor([20, 700]), noise)


def test_gradients_are_the_same_to_the_last_bit(model, losses):
    gradients = []
    for on in (False, True):
        set_checkpointing(model, on)
        model.zero_grad()
        losses().sum().backward()
        gradients.append([parameter.grad for parameter in model.trainable_parameters()])
    assert all(gradient.abs().max() > 0 for gradient in gradients[0])
    assert all(map(torch.equal, *gradients))


def kept_by_autograd(model, forward):
    """Bytes of the storages that autograd keeps during `forward`, weights excluded."""
    weights = (*model.parameters(), *model.buffers())
    storages = {tensor.untyped_storage().data_ptr(): tensor for tensor in weights}
    kept = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in storages:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = forward()
    assert losses.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("on", [False, True])
def test_the_estimate_counts_what_a_real_pass_keeps(model, losses, on):
    set_checkpointing(model, on)
    weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    trained = sum(parameter.nbytes for parameter in model.trainable_parameters())
    estimate = step_memory(model, SIZE, "cpu") - weights - 3 * trained
    assert estimate == kept_by_autograd(model, losses)


def test_the_average_takes_as_much_as_what_is_trained(model):
    trained = sum(parameter.nbytes for parameter in model.trainable_parameters())
    plain, averaged = (
        step_memory(model, StepSize(1, 64, "bf16", averaged), "cpu") for averaged in (False, True)
    )
    assert averaged - plain == trained


def test_auto_takes_what_fits(model):
    blocks = [module for module in model.modules() if hasattr(module, "use_checkpoint")]
    assert len(blocks) > 4
    for free, on in ((64 * GIB, False), (2**20, True)):
        set_checkpointing(model, True)  # as the configuration of SD 1.5 says
        line = choose_checkpointing("auto", model, SIZE, CPU, free)
        assert all(block.use_checkpoint == on for block in blocks)
        assert f"gradient checkpointing: {'on' if on else 'off'}, a step without it" in line


def test_auto_leaves_a_configuration_without_checkpointing_alone(model):
    set_checkpointing(model, False)
    assert choose_checkpointing("auto", model, SIZE, CPU, free=0) is None
    assert not any(getattr(module, "use_checkpoint", False) for module in model.modules())


@pytest.mark.parametrize(("choice", "on"), [("on", True), ("off", False)])
def test_a_given_choice_counts(model, choice, on):
    assert choose_checkpointing(choice, model, SIZE, CPU, free=0) is None
    assert all(m.use_checkpoint == on for m in model.modules() if hasattr(m, "use_checkpoint"))


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr("training.step.gradient_checkpointing.free_memory", lambda device: 600)
    assert memory_per_process(CPU, 3) == 200
    assert memory_per_process(torch.device("cuda"), 3) == 600  # each has a GPU of its own


def test_the_locked_encoder_keeps_no_graph(model):
    unet = model.model.diffusion_model
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 8)
    control = model.control_model(x, torch.rand(1, 3, 64, 64), torch.tensor([5]), context)
    emb = unet.embed_timesteps(torch.tensor([5]))
    h, skips = unet.encode(x, emb, context)
    assert control[-1].requires_grad
    assert not any(tensor.requires_grad for tensor in (h, *skips))
