"""This project and diffusers, at the same work: drawing, decoding and training."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn import functional as F

from benchmarks.costs import Cost, cost_of
from benchmarks.options import PairOptions
from benchmarks.random_model import TOKENS, build_random_model, random_batch
from cldm.configuration import native_size
from cldm.guidance import guided_eps
from cldm.layer_precision import round_layers
from cldm.options import DEFAULT_CONFIG
from cldm.sampling import decode
from cldm.speed import speed_up_drawing, speed_up_training
from core.hardware.compiling import compile_networks
from core.hardware.device_options import pick_device
from core.hardware.devices import PRECISIONS, mixed_precision
from core.weights.checkpoints import load_state_dict, load_strictly, save_weights

SCALE = 9.0  # of the guidance
# Stable Diffusion 1.5: channels of the levels of its U-Net and its autoencoder, side of its images
WIDTHS, VAE_WIDTHS, SIDE = (320, 640, 1280, 1280), (128, 256, 512, 512), 512


class Ours:
    """This project's networks.

    Args:
        options: what to compute.
        device: where.
        precision: one of `core.hardware.devices.PRECISIONS`.
    """

    def __init__(self, options: PairOptions, device: torch.device, precision: str):
        self.options, self.device, self.precision = options, device, precision
        self.model, config = build_random_model(DEFAULT_CONFIG, device)
        self.inputs = random_batch(self.model, options.batch, native_size(config), device)

    def prepare_drawing(self) -> None:
        """Round the weights, and do what makes `generate.py` fast."""
        dtype = PRECISIONS[self.precision]
        if dtype != torch.float32:
            round_layers(self.model, dtype)
        speed_up_drawing(self.model, self.options.compile)
        _, cond, _, _ = self.inputs
        with torch.no_grad(), mixed_precision(self.device.type, self.precision):
            self.cond = self.model.encode_hints(cond)
        # The same hints, another text
        self.uncond = self.cond | {"c_crossattn": [-text for text in cond["c_crossattn"]]}

    @torch.no_grad()
    def guided_step(self) -> None:
        """Predict the noise with and without the text."""
        x, _, t, _ = self.inputs
        with mixed_precision(self.device.type, self.precision):
            guided_eps(self.model, x, int(t[0]), self.cond, self.uncond, SCALE)

    @torch.no_grad()
    def decoding(self) -> None:
        """Decode the latents of a batch."""
        with mixed_precision(self.device.type, self.precision):
            decode(self.model, self.inputs[0])

    def prepare_training(self) -> None:
        """Freeze all but the control branch, and do what makes `train.py` fast.

        As there, the weights are mapped from a file.
        """
        with TemporaryDirectory() as folder:
            path = Path(folder, "weights.ckpt")
            save_weights(self.model.state_dict(), path)
            load_strictly(self.model, load_state_dict(path), path)
        self.model.train().freeze_the_rest()
        on_gpu = self.device.type == "cuda"
        speed_up_training(self.model, on_gpu, self.precision, self.options.compile)
        self.optimizer = fused_adamw(self.model.trainable_parameters())
        self.few = shortened(self.inputs, self.options.train_batch)

    def training_step(self) -> None:
        """Train on cached latents."""
        with mixed_precision(self.device.type, self.precision):
            loss = self.model.sample_losses(*self.few).mean()
        descend(loss, self.optimizer)


class Theirs:
    """The networks of diffusers; arguments and methods as `Ours`."""

    def __init__(self, options: PairOptions, device: torch.device, precision: str):
        from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

        self.options, self.device, self.precision = options, device, precision
        torch.manual_seed(0)
        down = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
        shared = {"block_out_channels": WIDTHS, "down_block_types": down}
        shared |= {"cross_attention_dim": 768, "attention_head_dim": 8}
        with device:
            self.unet = UNet2DConditionModel(
                **shared, up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
            )
            self.control = ControlNetModel(**shared)
            self.vae = AutoencoderKL(
                block_out_channels=VAE_WIDTHS,
                down_block_types=["DownEncoderBlock2D"] * 4,
                up_block_types=["UpDecoderBlock2D"] * 4,
                layers_per_block=2,
                latent_channels=4,
            )
            self.latents = torch.randn(options.batch, 4, SIDE // 8, SIDE // 8)  # (N, 4, h, w)
            self.text = torch.randn(options.batch, TOKENS, 768)  # (N, 77, 768)
            self.hints = torch.rand(options.batch, 3, SIDE, SIDE)  # (N, 3, H, W)
        for network in self.networks:
            network.requires_grad_(False)
        self.timestep = torch.tensor(500, device=device)

    @property
    def networks(self):
        """U-Net, control branch and autoencoder."""
        return self.unet, self.control, self.vae

    def prepare_drawing(self) -> None:
        """Convert weights and inputs, and compile where that is wanted."""
        dtype = PRECISIONS[self.precision]
        for network in self.networks:
            network.to(dtype)
        self.latents, self.text, self.hints = (
            x.to(dtype) for x in (self.latents, self.text, self.hints)
        )
        if self.options.compile:
            compile_networks([self.unet, self.control, self.vae.decoder])

    def predict(self, x, text, hints):
        """Steered prediction, (N, 4, h, w)."""
        down, middle = self.control(
            x, self.timestep, text, controlnet_cond=hints, return_dict=False
        )
        (output,) = self.unet(
            x,
            self.timestep,
            text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )
        return output  # (N, 4, h, w)

    @torch.no_grad()
    def guided_step(self) -> None:
        """Predict the noise with and without the text."""
        twice = [torch.cat([x, x]) for x in (self.latents, self.text, self.hints)]
        empty, full = self.predict(*twice).chunk(2)
        empty + SCALE * (full - empty)

    @torch.no_grad()
    def decoding(self) -> None:
        """Decode the latents of a batch."""
        self.vae.decode(self.latents, return_dict=False)

    def prepare_training(self) -> None:
        """Let the control branch learn; convert the rest, as diffusers' own script does."""
        dtype = PRECISIONS[self.precision]
        self.control.train().requires_grad_(True)
        self.unet.to(dtype)
        self.vae.to(dtype)
        if self.options.compile:
            compile_networks([self.unet, self.control])
        self.optimizer = fused_adamw(self.control.parameters())
        noise = torch.randn_like(self.latents)
        inputs = self.latents.to(dtype), self.text.to(dtype), self.hints.to(dtype)
        self.few = shortened([*inputs, noise], self.options.train_batch)

    def training_step(self) -> None:
        """Train on cached latents."""
        x, text, hints, noise = self.few
        with mixed_precision(self.device.type, self.precision):
            output = self.predict(x, text, hints)  # (N, 4, h, w)
        descend(F.mse_loss(output.float(), noise), self.optimizer)


SIDES = {"ours": Ours, "diffusers": Theirs}


def fused_adamw(parameters) -> torch.optim.Optimizer:
    """The optimizer of both sides."""
    return torch.optim.AdamW(parameters, lr=1e-5, fused=True)


def descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step down the gradient."""
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def shortened(values, count: int):
    """The first samples of nested tensors."""
    if isinstance(values, dict):
        return {key: shortened(value, count) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [shortened(value, count) for value in values]
    return values[:count]


def measure(side: str, case: str, options: PairOptions, precision: str) -> Cost:
    """Cost of one of `CASES` for one of `SIDES`, in one of the options' precisions."""
    device = pick_device(options.device)
    networks = SIDES[side](options, device, precision)
    if case == "training step":
        networks.prepare_training()
        return cost_of(networks.training_step, options.repeats, device)
    networks.prepare_drawing()
    work = {"guided step": networks.guided_step, "decoding": networks.decoding}[case]
    return cost_of(work, options.repeats, device)
