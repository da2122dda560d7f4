"""DDIM (Song et al. 2021) under classifier-free guidance, with the arguments and results that notebooks know."""

import numpy as np
import torch
from tqdm import tqdm

from ldm.models.diffusion.solver import draw_noise, guided_eps


def ddim_timesteps(steps: int, num_timesteps: int) -> np.ndarray:
    """Uniform timesteps, ascending, int64: every (T // steps)-th, plus one.

    As in the published sampler, where asking for 6 of 1000 gives 7. Differs from it: a last one that falls on T is left
    out (3 steps of 1000 would end at 1000, which the schedule does not have).

    Raises:
        ValueError: `steps` is not within 1..T.
    """
    if not 1 <= steps <= num_timesteps:
        raise ValueError(f"{steps} sampling steps, expected 1 to {num_timesteps}")
    timesteps = np.arange(0, num_timesteps, num_timesteps // steps) + 1
    return timesteps[timesteps < num_timesteps]


def ddim_step(x_noisy, eps, abar_t, abar_prev, sigma_t, noise):
    """From timestep t to the one before; returns that and the predicted x_0 (Song et al. 2021, Eq. 12)."""
    pred_x0 = (x_noisy - (1 - abar_t) ** 0.5 * eps) / abar_t**0.5
    towards_x_t = (1 - abar_prev - sigma_t**2) ** 0.5 * eps
    return abar_prev**0.5 * pred_x0 + towards_x_t + sigma_t * noise, pred_x0


class DDIMSampler:
    """Sampler for models with `apply_model`, `alphas_cumprod` and `parameterization`.

    Attributes, after `make_schedule`:
        ddim_timesteps: (S,) int64, ascending.
        ddim_alphas, ddim_alphas_prev, ddim_sigmas: alpha-bar at each timestep and at the one before it; sigma_t.
    """

    def __init__(self, model):
        self.model = model

    def make_schedule(self, ddim_num_steps, ddim_discretize="uniform", ddim_eta=0.0, verbose=False):
        """Timesteps and coefficients; sigma_t is Eq. 16 of Song et al. 2021.

        Args:
            ddim_discretize: always `uniform`; notebooks pass it.
            verbose: print how many timesteps there are.
        Raises:
            ValueError: another discretisation, an impossible number of steps, or `ddim_eta` not within 0..1 (the step would need a negative variance).
        """
        if ddim_discretize != "uniform":
            raise ValueError(f"ddim_discretize {ddim_discretize!r}, expected uniform")
        if not 0 <= ddim_eta <= 1:
            raise ValueError(f"eta {ddim_eta}, expected 0 to 1")
        abar = self.model.alphas_cumprod.double().cpu().numpy()
        self.ddim_timesteps = ddim_timesteps(ddim_num_steps, len(abar))
        self.ddim_alphas = abar[self.ddim_timesteps]
        self.ddim_alphas_prev = np.concatenate([abar[:1], self.ddim_alphas[:-1]])
        ratio = (1 - self.ddim_alphas_prev) / (1 - self.ddim_alphas)
        self.ddim_sigmas = ddim_eta * np.sqrt(
            ratio * (1 - self.ddim_alphas / self.ddim_alphas_prev)
        )
        if verbose:
            print(f"{len(self.ddim_timesteps)} DDIM timesteps")

    @torch.no_grad()
    def sample(
        self,
        S,
        batch_size,
        shape,
        conditioning,
        eta=0.0,
        x_T=None,
        unconditional_guidance_scale=1.0,
        unconditional_conditioning=None,
        generators=None,
        log_every_t=100,
        verbose=True,
    ):
        """Draw samples.

        Args:
            S: steps asked for; see `ddim_timesteps`.
            batch_size, shape: N and (C, h, w).
            conditioning, unconditional_conditioning: as `model.apply_model` takes them.
            eta: 0 for the deterministic sampler, 1 for that of DDPM.
            x_T: noise to start from, (N, C, h, w); drawn when not given.
            generators: one CPU generator per sample for all noise; the global one of torch when not given.
            log_every_t: steps between the kept intermediates.
            verbose: show a progress bar.
        Returns:
            Samples (N, C, h, w) and the lists `x_inter` and `pred_x0` of intermediates.
        """
        self.make_schedule(S, ddim_eta=eta)
        device = self.model.alphas_cumprod.device
        x = draw_noise((batch_size, *shape), generators, device) if x_T is None else x_T.to(device)
        intermediates = {"x_inter": [x], "pred_x0": [x]}
        steps = len(self.ddim_timesteps)
        for index in tqdm(reversed(range(steps)), desc="DDIM", total=steps, disable=not verbose):
            eps = guided_eps(
                self.model,
                x,
                int(self.ddim_timesteps[index]),
                conditioning,
                unconditional_conditioning,
                unconditional_guidance_scale,
            )
            sigma_t = float(self.ddim_sigmas[index])
            noise = draw_noise(x.shape, generators, device) if sigma_t > 0 else 0.0
            x, pred_x0 = ddim_step(
                x,
                eps,
                float(self.ddim_alphas[index]),
                float(self.ddim_alphas_prev[index]),
                sigma_t,
                noise,
            )
            if index % log_every_t == 0 or index == steps - 1:
                intermediates["x_inter"].append(x)
                intermediates["pred_x0"].append(pred_x0)
        return x, intermediates
