"""Pictures for conditions, for everything that draws: previews, validation and whole sets.

Hints go to the control branches as a list, one hint per branch. All noise of a picture comes from
its own seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange

from cldm.guidance import guided_eps
from cldm.options import SamplingOptions
from core.hardware.devices import to_device, to_host
from ldm.modules.diffusionmodules.schedule import add_noise, in_float64
from ldm.samplers import SAMPLERS
from ldm.samplers.noise import Blend, blend_noise, draw_noise

# Pictures are decoded together as far as a part of a GPU's memory reaches. Of 512 x 512 pixels, 16
# take 166 ms together and 200 ms by fours (SD 1.5 in bf16 on an H200).
DECODING_PART = 1 / 4
BYTES_PER_PIXEL = {2: 3600, 4: 7200}  # of the decoder at its peak, by the bytes of a number
GUESS_DECAY = 0.825  # ratio of neighbouring control scales in guess mode (published value)


class NotFiniteError(RuntimeError):
    """A picture with NaN or infinite values, which would be saved as a black one.

    Attributes:
        index: of the picture among those that were asked for.
    """

    def __init__(self, index: int):
        super().__init__(
            f"picture {index} of the batch has values that are NaN or infinite. "
            "Lower the guidance scale or the strength, or compute in 32 bits."
        )
        self.index = index


@dataclass(frozen=True)
class Start:
    """Pictures that sampling begins with, instead of noise (SDEdit, Meng et al. 2022).

    Attributes:
        pictures: (N, 3, H, W) in [-1, 1].
        ratio: part of the steps that is left to go, in (0, 1]. The smaller it is, the more of the
            pictures stays.
    """

    pictures: torch.Tensor
    ratio: float

    def __getitem__(self, part: slice) -> "Start":
        return Start(self.pictures[part], self.ratio)

    def noised(self, model, noise: torch.Tensor, timesteps: Sequence[int]):
        """Latents to go on from, (N, C, H/8, W/8), and how many of the timesteps are left out.

        Args:
            noise: standard normal, like the latents.
            timesteps: those of the sampler, descending.
        """
        first = len(timesteps) - max(1, round(self.ratio * len(timesteps)))
        # One at a time, as pictures are decoded: the autoencoder's memory grows fastest.
        means = [
            model.encode_first_stage(picture[None].to(model.device)).mode()
            for picture in self.pictures
        ]
        z = model.scale_factor * torch.cat(means)  # (N, C, H/8, W/8)
        abar_t = model.alphas_cumprod[timesteps[first]]
        return add_noise(z, noise, abar_t.sqrt(), (1 - abar_t).sqrt()), first


def guidance_scale(options: SamplingOptions, abar_t: float) -> float:
    """Guidance at alpha-bar_t: 1, which is none, outside `guidance_interval`.

    Kynkaanniemi et al. (2024, arXiv:2404.07724, Eq. 5): early on guidance takes away variety, and
    at the end it changes nothing.
    """
    if not options.guidance_interval:
        return options.scale
    low, high = options.guidance_interval
    sigma = ((1 - abar_t) / abar_t) ** 0.5  # noise for a signal of weight 1
    return options.scale if low < sigma <= high else 1.0


def control_scales(strength: float, guess_mode: bool, count: int) -> list[float]:
    """Factors of the control residuals, from shallow to deep.

    All are `strength`; in guess mode they fall towards the shallow ones, as in the published code.

    Args:
        count: number of residuals.
    """
    return [  # the last one, of the middle block, is `strength` in both modes
        strength * (GUESS_DECAY ** (count - 1 - i) if guess_mode else 1.0) for i in range(count)
    ]


def paired_conditions(model, hints, context, negative, guess_mode):
    """A condition and what guidance leads away from, as `model.apply_model` takes them.

    Hints are encoded here, once for all steps. In guess mode the counterpart has no control.

    Args:
        hints: one per control branch, each (N, C, H, W) in [0, 1].
        context, negative: embeddings of the prompts and of their counterparts, (N, 77, width).
    """
    hints = [to_device(hint, model.device) for hint in hints]
    cond = model.encode_hints({"c_crossattn": [context], "c_concat": hints})
    if guess_mode:
        return cond, {"c_crossattn": [negative], "c_concat": None}
    return cond, {**cond, "c_crossattn": [negative]}


def _first_noise(model, size, generators, blends):
    """Noise to begin with, (N, C, H/8, W/8): drawn by the generators, or blended where it is given.

    Args:
        size: (H, W) of the pictures.
    """
    shape = (len(generators), *model.latent_shape(*size))
    drawn = draw_noise(shape, generators, model.device)  # always: the steps draw what follows
    return blend_noise(shape, blends, model.device) if blends else drawn


@torch.no_grad()
def sample_latents(
    model,
    hints: list[torch.Tensor],
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    start: Start | None = None,
    blends: Sequence[Blend] | None = None,
) -> torch.Tensor:
    """Latents for N conditions.

    Args:
        model: a `ControlledDiffusionModel`, or its `PartsInTurn`.
        hints: one per control branch, each (N, C, H, W) in [0, 1]; H and W are multiples of the
            model's factor.
        prompts, seeds: N texts and N whole numbers; all noise of a picture comes from its seed.
        start: pictures to begin with; pure noise when None. With a ratio of 1 they change nothing.
        blends: N blends, the noise to begin with instead of that of the seeds.
    Returns:
        z, (N, C, H/8, W/8).
    Raises:
        ValueError: a number of steps that the sampler does not take.
    """
    sampler = SAMPLERS[options.sampler]
    # Each picture's generator draws x_T first, then the noise of its steps.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    x_noisy, first = _first_noise(model, hints[0].shape[2:], generators, blends), 0
    abar = in_float64(model.alphas_cumprod)  # (T,)
    if start and start.ratio < 1:
        x_noisy, first = start.noised(model, x_noisy, sampler.timesteps(options.steps, abar))
    context = model.get_learned_conditioning(prompts)  # (N, 77, width)
    empty = model.get_unconditional_conditioning(len(prompts))  # (N, 77, width)
    cond, uncond = paired_conditions(model, hints, context, empty, options.guess_mode)
    scales = control_scales(options.strength, options.guess_mode, len(model.control_scales))

    def denoise(x_noisy, t):
        scale = guidance_scale(options, abar[t])
        guided = {"cond": cond, "uncond": uncond, "scale": scale}
        return guided_eps(model, x_noisy, t, **guided, control_scales=scales)

    return sampler.sample(
        denoise,
        x_noisy,
        abar,
        options.steps,
        eta=options.eta,
        generators=generators,
        first=first,
    )


@torch.no_grad()
def sample_images(
    model,
    hints: list[torch.Tensor],
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    start: Start | None = None,
    blends: Sequence[Blend] | None = None,
    finish: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
) -> np.ndarray:
    """Pictures for N conditions, uint8 (N, H, W, 3); arguments as in `sample_latents`.

    On a CPU one picture is computed at a time, unless `options.joint` is set. The last bits of a
    product can depend on how many samples share it, so only then is a picture the same, byte by
    byte, whatever the batch.

    Args:
        finish: (decoded picture (1, 3, H, W) in [-1, 1], its seed) -> the picture to round.
    Raises:
        ValueError: as `sample_latents`.
        NotFiniteError: a picture has values that are NaN or infinite.
    """
    exact = model.device.type == "cpu" and not options.joint
    together = 1 if exact else len(prompts)
    pictures = []
    for i in range(0, len(prompts), together):
        part = slice(i, i + together)
        z = sample_latents(
            model,
            [hint[part] for hint in hints],
            prompts[part],
            seeds[part],
            options,
            start and start[part],
            blends and blends[part],
        )
        decoded = decode(model, z)  # (n, 3, H, W)
        if finish:
            split = zip(decoded.split(1), seeds[part], strict=True)
            decoded = torch.cat([finish(picture, seed) for picture, seed in split])
        try:  # all at once: each call waits for the device
            pictures.append(to_pixels(decoded))  # (n, H, W, 3)
        except NotFiniteError as error:
            raise NotFiniteError(i + error.index) from error
    return np.concatenate(pictures)


def decode(model, z: torch.Tensor) -> torch.Tensor:
    """Latents (N, C, h, w) -> pictures (N, 3, H, W) in about [-1, 1].

    On a CPU one at a time: the decoder's memory grows fastest.
    """
    pixels = z[0, 0].numel() * model.first_stage_model.downsampling**2
    together = max(1, pixels_at_once(z.device) // pixels)
    return torch.cat([model.decode_first_stage(part) for part in z.split(together)])


def pixels_at_once(device: torch.device) -> int:
    """Pixels that a GPU decodes together; 0 on any other device, for one picture at a time."""
    if device.type != "cuda":
        return 0
    # Not the memory that is free: the last bits of a picture can depend on how many are decoded
    # together, so the number is the same throughout a run.
    total = torch.cuda.get_device_properties(device).total_memory
    half = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.bfloat16
    return int(DECODING_PART * total / BYTES_PER_PIXEL[2 if half else 4])


def to_pixels(images: torch.Tensor) -> np.ndarray:
    """(N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3), rounded and clipped.

    Raises:
        NotFiniteError: a picture has values that are NaN or infinite.
    """
    finite = images.isfinite().flatten(1).all(1)  # (N,)
    # -1 -> 0, 1 -> 255. Clipped first: a byte would wrap around.
    levels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte()  # (N, 3, H, W)
    levels = rearrange(levels, "n c h w -> n h w c").contiguous()  # (N, H, W, 3)
    levels, finite = to_host([levels, finite])
    if not finite.all():  # as bytes, NaN is 0: the picture would look like any other
        raise NotFiniteError(int(finite.int().argmin()))
    return levels.numpy()
