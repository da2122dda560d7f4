"""What the samplers share: the guided prediction of the noise, and noise that belongs to a sample."""

import torch


def join_conditions(first: dict, second: dict) -> dict:
    """Two conditions of the same shape as one batch, `first` before `second`."""
    return {
        key: [torch.cat(both) for both in zip(first[key], second[key], strict=True)]
        for key in first
    }


def guided_eps(model, x, t, cond, uncond=None, scale=1.0):
    """Noise in `x` at timestep `t` under classifier-free guidance, `u + scale * (c - u)` (Ho & Salimans 2022, Eq. 6).

    Both predictions come from one pass, unless one is controlled and the other not (guess mode).

    Args:
        x, t: (N, C, h, w); a number in [0, T).
        cond, uncond: as `model.apply_model` takes them; guidance is off without `uncond` or at scale 1.
    """
    timesteps = torch.full((len(x),), t, device=x.device, dtype=torch.long)
    if uncond is None or scale == 1:
        output = model.apply_model(x, timesteps, cond)
    elif cond.get("c_concat") is not None and uncond.get("c_concat") is None:
        output = model.apply_model(x, timesteps, uncond)
        output = output + scale * (model.apply_model(x, timesteps, cond) - output)
    else:
        shared = [
            key for key, value in cond.items() if value is not None and key in uncond
        ]  # either may come with its hint encoded, or not
        joined = join_conditions(
            {key: uncond[key] for key in shared}, {key: cond[key] for key in shared}
        )
        joined.setdefault("c_concat", None)
        output, conditional = model.apply_model(
            torch.cat([x, x]), torch.cat([timesteps, timesteps]), joined
        ).chunk(2)
        output = output + scale * (conditional - output)
    if model.parameterization == "v":  # Salimans & Ho 2022, appendix D
        abar = model.alphas_cumprod[t]
        output = abar.sqrt() * output + (1 - abar).sqrt() * x
    return output


def draw_noise(shape, generators=None, device="cpu"):
    """Standard normal noise (N, ...); with one CPU generator per sample it depends on nothing but those."""
    if generators is None:
        return torch.randn(shape, device=device)
    return torch.stack(
        [torch.randn(shape[1:], generator=generator) for generator in generators]
    ).to(device)
