"""DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095, Algorithm 2): second order, one network pass per step."""

import numpy as np
import torch
from tqdm import tqdm

from ldm.models.diffusion.solver import draw_noise, guided_eps


def half_log_snr(abar):
    """lambda = log(alpha / sigma), the variable in which the solver's steps are even."""
    return 0.5 * np.log(abar / (1 - abar))


def dpm_timesteps(steps: int, alphas_cumprod: np.ndarray) -> np.ndarray:
    """Descending timesteps from T - 1 to 0, int64; the network is asked at all but the last.

    They are even in `half_log_snr`. Where this asks for a timestep twice (more than about 20 steps of 1000, near 0), it is
    taken once, so there can be fewer than `steps` + 1.

    Raises:
        ValueError: `steps` is not within 1..T-1.
    """
    if not 1 <= steps < len(alphas_cumprod):
        raise ValueError(f"{steps} sampling steps, expected 1 to {len(alphas_cumprod) - 1}")
    lambdas = half_log_snr(alphas_cumprod)
    targets = np.linspace(lambdas[-1], lambdas[0], steps + 1)
    timesteps = np.interp(-targets, -lambdas, np.arange(len(lambdas))).round().astype(np.int64)
    return np.unique(timesteps)[::-1]


def dpm_step(x, pred_x0, previous_x0, abar, abar_next, abar_previous):
    """One step from alpha-bar to the next one; first order where there is no step before it.

    With lambda = log(alpha / sigma) and h its increase: x' = sigma'/sigma x - alpha' (e^-h - 1) D, where D is x_0
    extrapolated from this and the previous prediction.
    """
    h = half_log_snr(abar_next) - half_log_snr(abar)
    D = pred_x0
    if previous_x0 is not None:
        r = (half_log_snr(abar) - half_log_snr(abar_previous)) / h
        D = (1 + 0.5 / r) * pred_x0 - 0.5 / r * previous_x0
    return ((1 - abar_next) / (1 - abar)) ** 0.5 * x - abar_next**0.5 * np.expm1(-h) * D


class DPMSolverSampler:
    """Deterministic sampler that takes what `cldm.ddim_hacked.DDIMSampler` takes, but for `eta`."""

    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    def sample(
        self,
        S,
        batch_size,
        shape,
        conditioning,
        x_T=None,
        unconditional_guidance_scale=1.0,
        unconditional_conditioning=None,
        generators=None,
        verbose=True,
    ):
        """Draw samples in about S steps; arguments as in `DDIMSampler.sample`.

        Returns:
            Samples (N, C, h, w) and the predictions of x_0 at every step under `pred_x0`.
        """
        device = self.model.alphas_cumprod.device
        abar = self.model.alphas_cumprod.double().cpu().numpy()
        timesteps = dpm_timesteps(S, abar)
        abar = abar[timesteps].tolist()
        x = draw_noise((batch_size, *shape), generators, device) if x_T is None else x_T.to(device)
        predictions = []
        for i in tqdm(range(len(timesteps) - 1), desc="DPM-Solver++", disable=not verbose):
            eps = guided_eps(
                self.model,
                x,
                int(timesteps[i]),
                conditioning,
                unconditional_conditioning,
                unconditional_guidance_scale,
            )
            pred_x0 = (x - (1 - abar[i]) ** 0.5 * eps) / abar[i] ** 0.5
            x = dpm_step(
                x,
                pred_x0,
                predictions[-1] if i else None,
                abar[i],
                abar[i + 1],
                abar[i - 1] if i else None,
            )
            predictions.append(pred_x0)
        return x, {"pred_x0": predictions}
