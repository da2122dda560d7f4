"""The one way from conditions to pictures: training previews, validation and `generate.py` all draw through it."""

from dataclasses import dataclass

import numpy as np
import torch

import config
from cldm.ddim_hacked import DDIMSampler
from ldm.models.diffusion.dpm_solver import DPMSolverSampler
from ldm.models.diffusion.solver import draw_noise

GUESS_DECAY = 0.825  # ratio of neighbouring control scales in guess mode (published value)


@dataclass(frozen=True)
class SamplingOptions:
    """How pictures are drawn; the defaults are those of `generate.py`.

    Attributes:
        steps: sampling steps.
        scale: weight of classifier-free guidance, 1 for none.
        strength: factor of all control residuals.
        eta: stochasticity of DDIM, 0 to 1; `dpmpp` is always deterministic.
        guess_mode: weaker control towards the shallow residuals, and none in the unconditional pass.
        sampler: `ddim` or `dpmpp`.
    """

    steps: int = 70
    scale: float = 9.0
    strength: float = 2.0
    eta: float = 1.0
    guess_mode: bool = False
    sampler: str = "ddim"


def control_scales(strength: float, guess_mode: bool, count: int = 13) -> list[float]:
    """Factors of the control residuals, shallow to deep: all `strength`, or falling towards the shallow ones in guess mode."""
    return [
        strength * (GUESS_DECAY ** (count - 1 - i) if guess_mode else 1.0) for i in range(count)
    ]


@torch.no_grad()
def sample_latents(model, hint, prompts, seeds, options: SamplingOptions, verbose=False):
    """Latents for N conditions.

    Args:
        model: a ControlLDM.
        hint: (N, C, H, W) in [0, 1]; H and W are multiples of the model's factor.
        prompts, seeds: N texts and N whole numbers; all noise of a picture comes from its seed.
    Returns:
        z, (N, 4, H/8, W/8).
    """
    factor = model.first_stage_model.downsampling
    shape = (model.channels, hint.shape[2] // factor, hint.shape[3] // factor)
    if config.save_memory:
        model.low_vram_shift(is_diffusing=False)
    context = model.get_learned_conditioning(prompts)
    empty = model.get_unconditional_conditioning(len(prompts))
    if config.save_memory:
        model.low_vram_shift(is_diffusing=True)
    cond = model.encode_hints({"c_crossattn": [context], "c_concat": [hint.to(model.device)]})
    uncond = {**cond, "c_crossattn": [empty]}
    if options.guess_mode:
        uncond = {"c_crossattn": uncond["c_crossattn"], "c_concat": None}
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    arguments = {
        "S": options.steps,
        "batch_size": len(prompts),
        "shape": shape,
        "conditioning": cond,
        "x_T": draw_noise((len(prompts), *shape), generators, model.device),
        "unconditional_guidance_scale": options.scale,
        "unconditional_conditioning": uncond,
        "generators": generators,
        "verbose": verbose,
    }
    before = model.control_scales
    model.control_scales = control_scales(options.strength, options.guess_mode, len(before))
    try:
        if options.sampler == "dpmpp":
            return DPMSolverSampler(model).sample(**arguments)[0]
        return DDIMSampler(model).sample(**arguments, eta=options.eta)[0]
    finally:
        model.control_scales = before


@torch.no_grad()
def sample_images(
    model, hint, prompts, seeds, options: SamplingOptions, verbose=False
) -> np.ndarray:
    """Pictures for N conditions, uint8 (N, H, W, 3); arguments as in `sample_latents`.

    On a CPU one picture is computed at a time: nothing is lost, and the last bits of a product can depend on how many
    samples share it, so only then is a picture the same, byte by byte, whatever the batch. The decoder, whose memory
    grows fastest, always takes one at a time.
    """
    share = 1 if model.device.type == "cpu" else len(hint)
    pictures = []
    for i in range(0, len(hint), share):
        part = slice(i, i + share)
        z = sample_latents(model, hint[part], prompts[part], seeds[part], options, verbose)
        if config.save_memory:
            model.low_vram_shift(is_diffusing=False)
        pictures += [to_pixels(model.decode_first_stage(z[j : j + 1])) for j in range(len(z))]
    return np.concatenate(pictures)


def to_pixels(images) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3), rounded and clipped."""
    return (
        ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    )
