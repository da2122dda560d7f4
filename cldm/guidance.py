"""Classifier-free guidance (Ho & Salimans 2022): one noise prediction out of two conditions."""

import torch

from ldm.modules.diffusionmodules.schedule import eps_of_v


def join_conditions(first: dict, second: dict) -> dict:
    """Two conditions of the same shape as one batch, `first` before `second`."""
    return {
        key: [torch.cat(both) for both in zip(first[key], second[key], strict=True)]
        for key in first
    }


def guided_eps(model, x, t, cond, uncond=None, scale=1.0, **model_options):
    """Noise in `x` at timestep `t`, `u + scale * (c - u)` (Ho & Salimans 2022, Eq. 6).

    Both predictions come from one pass, unless one is controlled and the other not (guess mode).
    Where they differ in the text alone, what comes before the text is computed once.

    Args:
        model: anything with `apply_model`, `alphas_cumprod` and `parameterization`.
        x, t: (N, C, h, w); a whole number in [0, T).
        cond, uncond: as `model.apply_model` takes them; guidance is off without `uncond` or at
            scale 1.
        model_options: further arguments of `model.apply_model`.
    """
    timesteps = torch.full((1,), t, device=x.device, dtype=torch.long)  # for all rows
    # `scale` is 1 + w of the paper: at 1 the unconditional prediction drops out.
    if uncond is None or scale == 1:
        output = model.apply_model(x, timesteps, cond, **model_options)  # (N, C, h, w)
    else:
        c, u = _both_predictions(model, x, timesteps, cond, uncond, model_options)
        output = u + scale * (c - u)  # (N, C, h, w)
    if model.parameterization == "v":
        # Guidance may come first: for a given x, eps is linear in v.
        output = eps_of_v(x, output, model.alphas_cumprod[t])  # (N, C, h, w)
    return output


def _same_tensors(first, second):
    """Tell whether two lists hold the same tensors, not just equal ones."""
    return all(a is b for a, b in zip(first, second, strict=True))


def _both_predictions(model, x, timesteps, cond, uncond, model_options):
    """Predictions under `cond` and under `uncond`, (N, C, h, w) each."""
    if cond.get("c_concat") is not None and uncond.get("c_concat") is None:
        # With and without a control branch the network differs, so the two share no pass.
        u = model.apply_model(x, timesteps, uncond, **model_options)  # (N, C, h, w)
        return model.apply_model(x, timesteps, cond, **model_options), u
    # Either side may come with its hint encoded, or not: only what both have is joined.
    shared = [key for key, value in cond.items() if value is not None and key in uncond]
    different = [key for key in shared if not _same_tensors(cond[key], uncond[key])]
    if different == ["c_crossattn"]:  # the network lets each latent serve both texts
        rows, kept = x, {**cond, "c_concat": cond.get("c_concat")}
    else:
        rows, kept, different = torch.cat([x, x]), {"c_concat": None}, shared  # (2N, C, h, w)
    both = join_conditions(*({key: c[key] for key in different} for c in (uncond, cond)))
    output = model.apply_model(rows, timesteps, kept | both, **model_options)
    # (2N, C, h, w), unconditional first
    u, c = output.chunk(2)  # (N, C, h, w) each
    return c, u
