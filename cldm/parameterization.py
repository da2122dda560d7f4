"""Measurement of what a U-Net predicts, noise or v: its weights do not say so.

At the last timestep a noisy latent is noise (alpha-bar is nearly 0), so a network that predicts the
noise returns its input, while v is minus the image (Salimans & Ho 2022, appendix D). At an early
timestep both return what they take for noise.
"""

import math
from pathlib import Path

import torch

SIDE = 16  # of the latents that are tried; any network of this family takes it
EARLY = 0.1  # share of the timesteps
CLEAR = 0.5  # correlation; trained networks reach 0.99 where they return their input


@torch.no_grad()
def measured_parameterization(model: torch.nn.Module) -> str | None:
    """`eps` or `v`, as a model's answers to pure noise tell; None where unclear.

    Networks without training give no clear answer.

    Args:
        model: a `LatentDiffusionModel`.
    """
    last = model.num_timesteps - 1
    if _correlation(model, last) > CLEAR:
        return "eps"
    return "v" if _correlation(model, int(EARLY * last)) > CLEAR else None


def _correlation(model: torch.nn.Module, timestep: int) -> float:
    """Correlation of a prediction with the noise that is shown, at a timestep."""
    generator = torch.Generator().manual_seed(0)
    context = model.get_unconditional_conditioning(1)  # (1, 77, context_dim)
    noise = torch.randn(1, model.channels, SIDE, SIDE, generator=generator).to(context.device)
    t = torch.full((1,), timestep, device=context.device)
    cond = {"c_crossattn": [context], "c_concat": None}
    shown = torch.stack([noise, model.apply_model(noise, t, cond)])  # (2, 1, C, SIDE, SIDE)
    value = shown.float().flatten(1).corrcoef()[0, 1].item()
    return 0.0 if math.isnan(value) else value  # NaN where all predicted numbers are equal


def check_parameterization(model: torch.nn.Module, config: Path, weights: Path) -> None:
    """Check that weights predict what their configuration says; one or two small forward passes.

    Args:
        config, weights: files, for the message.
    Raises:
        RuntimeError: they clearly predict the other.
    """
    found, stated = measured_parameterization(model), model.parameterization
    if found not in (None, stated):
        raise RuntimeError(
            f"{weights}: its U-Net predicts {found}, but {config} says parameterization: {stated}. "
            "Take the configuration that belongs to these weights, or set parameterization: "
            f"{found} in a copy of this one."
        )
