"""A model with random weights on any device, its errors, and the peak of the device."""

import time
from pathlib import Path

import torch
from torch import nn

from cldm.configuration import read_config
from core.hardware.devices import float32_products, wait_for
from ldm.util import instantiate_from_config

TOKENS = 77  # of a prompt
SPREAD = 0.02  # deviation of weights that a fresh network has at zero
SIDES = {"cuda": 8192, "cpu": 512}  # of the matrices whose product shows the peak
PRODUCTS = 10  # that are timed
# Dense bf16 in TFLOP/s, from NVIDIA's data sheets; the first name that fits counts.
NOMINAL = {
    "H100 PCIe": 756, "H100": 989, "H200": 989, "GH200": 989, "A100": 312, "L40S": 362,
    "RTX 4090": 165,
}  # fmt: skip


class RandomContext(nn.Module):
    """Random numbers in place of a text encoder, whose tokenizer needs a package more.

    Args:
        width: of a token.
    """

    def __init__(self, width):
        super().__init__()
        self.register_buffer("context", torch.randn(1, TOKENS, width))

    def forward(self, texts):
        """List of N texts -> (N, 77, width), the same for each."""
        return self.context.expand(len(texts), -1, -1)  # (N, 77, width)


def build_random_model(path: Path, device: torch.device) -> tuple[nn.Module, dict]:
    """The model of a configuration on `device`, in evaluation mode, and the configuration.

    Raises:
        FileNotFoundError, ValueError: as `read_config`.
    """
    config = read_config(path)
    params = config["params"]
    params["cond_stage_config"] = {"target": "torch.nn.Identity"}
    torch.manual_seed(0)
    with device:  # drawn there: on a CPU, a billion weights take half a minute
        model = instantiate_from_config(config)
        model.cond_stage_model = RandomContext(params["unet_config"]["params"]["context_dim"])
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():  # zero layers would hide whatever stands before them
                parameter.normal_(0, SPREAD)
    for module in model.modules():
        if hasattr(module, "use_checkpoint"):
            module.use_checkpoint = False  # less memory for more time: not what is measured
    return model.eval().to(device), config


def random_batch(model: nn.Module, batch: int, side: int, device: torch.device) -> tuple:
    """Arguments of `model.sample_losses` for images of `side` pixels; the same for any device."""
    generator = torch.Generator().manual_seed(0)
    latent = side // model.first_stage_model.downsampling
    x_start, noise = torch.randn(2, batch, model.channels, latent, latent, generator=generator)
    hint = torch.rand(batch, model.control_model.hint_channels, side, side, generator=generator)
    t = torch.full((batch,), model.num_timesteps // 2)
    context = model.get_learned_conditioning([""] * batch)  # (N, 77, width)
    cond = {"c_crossattn": [context], "c_concat": [hint.to(device)]}
    return x_start.to(device), cond, t.to(device), noise.to(device)


def errors_against_cpu(model: nn.Module, side: int, device: torch.device) -> dict[str, float]:
    """Largest differences from the CPU in float32, as shares of the largest values.

    Args:
        side: of the images in pixels.
    Returns:
        Errors of the prediction, of a decoded picture and of a step's gradients.
    """
    with float32_products("32"):
        found = outputs(model, side, device)
    # Moved, not copied: a card may hold one model only.
    expected = outputs(model.to("cpu"), side, torch.device("cpu"))
    model.to(device)
    return {
        name: float((value - expected[name]).abs().max() / expected[name].abs().max())
        for name, value in found.items()
    }


def outputs(model: nn.Module, side: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Prediction, decoded picture and gradients of one image, on the CPU."""
    x, cond, t, noise = random_batch(model, 1, side, device)
    with torch.no_grad():
        prediction = model.apply_model(x, t, cond)
        picture = model.decode_first_stage(x)
    model.sample_losses(x, cond, t, noise).sum().backward()
    kernel = model.control_model.middle_block_out[0].weight
    gradient = kernel.grad
    model.zero_grad(set_to_none=True)
    found = {"prediction": prediction, "decoded_picture": picture, "gradient": gradient}
    return {name: value.cpu() for name, value in found.items()}


def matmul_flops(device: torch.device) -> float:
    """Measured FLOP a second of a product of large bf16 matrices."""
    side = SIDES["cuda" if device.type == "cuda" else "cpu"]
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    a @ b
    wait_for(device)
    start = time.perf_counter()
    for _ in range(PRODUCTS):
        a @ b
    wait_for(device)
    return PRODUCTS * 2 * side**3 / (time.perf_counter() - start)


def nominal_flops(name: str) -> float | None:
    """FLOP a second in dense bf16 as the maker states them; None for an unknown card."""
    return next((1e12 * flops for card, flops in NOMINAL.items() if card in name), None)
