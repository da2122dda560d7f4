"""Faster ways to the same result.

Networks are compiled; else they are recorded on a GPU, and on a CPU their weights are held in the
form that products read. A training on a CPU also keeps freed memory.
"""

from cldm.controlnet import ControlledDiffusionModel
from cldm.recorded import record_drawing, record_training
from core.hardware.compiling import MODE, compile_networks
from core.hardware.memory import give_back_freed_memory, keep_freed_memory, page_out
from ldm.modules.locked_layers import lock_layers
from ldm.modules.packing import pack_layers
from ldm.modules.trained_layers import round_trained_layers


def speed_up_drawing(
    model: ControlledDiffusionModel, compiled: bool, graphs: bool = True, mode: str = MODE
) -> None:
    """Compile the networks of a loaded model; else record them on a GPU, or pack them on a CPU.

    Afterwards the model draws images, and can be neither trained, moved nor saved.

    Args:
        compiled: compile the networks.
        graphs: record them in CUDA graphs, where they are not compiled.
        mode: of `torch.compile`.
    """
    # Several branches are compiled one by one.
    branches = getattr(model.control_model, "branches", [model.control_model])
    networks = [model.model.diffusion_model, *branches]
    if compiled:
        compile_networks([*networks, model.first_stage_model.decoder], mode)
    elif model.device.type == "cuda" and graphs:
        record_drawing(model)
    elif model.device.type == "cpu":
        for network in networks:
            pack_layers(network)
            give_back_freed_memory()  # 0.4 GiB of SD 1.5: the weights that were packed


def speed_up_training(
    model: ControlledDiffusionModel,
    on_gpu: bool,
    precision: str,
    compiled: bool,
    graphs: bool = True,
) -> None:
    """Compile the locked network and its branch; else record both on a GPU.

    On a CPU, keep freed memory for the next step. In bf16, also round the weights of the locked
    network once, instead of in every step.

    Args:
        on_gpu: whether it will be trained there; it may still be elsewhere.
        precision: one of `core.hardware.devices.PRECISIONS`.
        compiled: compile the networks.
        graphs: record them in CUDA graphs, where they are not compiled.
    """
    unet = model.model.diffusion_model
    if compiled:
        compile_networks([unet, model.control_model])
    elif on_gpu and graphs:
        model.freeze_the_rest()
        record_training(model)
    elif not on_gpu:
        keep_freed_memory()
        if precision == "bf16":
            _speed_up_bf16(model)


def _speed_up_bf16(model: ControlledDiffusionModel) -> None:
    """Make layers fast in a training on a CPU. Frozen weights leave the memory until read again."""
    model.freeze_the_rest()
    lock_layers(model.model.diffusion_model)
    round_trained_layers(model.control_model)
    for parameter in model.parameters():
        if not parameter.requires_grad:
            page_out(parameter)
