"""The published interface of the DDIM sampler, for notebooks; `ldm.samplers` computes."""

import torch

from cldm.guidance import guided_eps
from ldm.samplers import ddim
from ldm.samplers.noise import draw_noise


class DDIMSampler:
    """DDIM under classifier-free guidance, with the published arguments and results.

    Args:
        model: anything with `apply_model`, `alphas_cumprod` and `parameterization`.

    Attributes, after `make_schedule`:
        ddim_timesteps: (S,) int64, ascending.
        ddim_alphas, ddim_alphas_prev, ddim_sigmas: alpha-bar at each timestep and at the one below
            it; sigma_t.
    """

    def __init__(self, model):
        self.model = model

    def make_schedule(self, ddim_num_steps, ddim_discretize="uniform", ddim_eta=0.0, verbose=False):
        """Compute timesteps and coefficients and keep them as attributes.

        Args:
            ddim_discretize: always `uniform`; notebooks pass it.
            verbose: print how many timesteps there are.
        Raises:
            ValueError: another discretisation; others as `ldm.samplers.ddim.ddim_schedule`.
        """
        if ddim_discretize != "uniform":
            raise ValueError(f"ddim_discretize {ddim_discretize!r}, expected uniform")
        # The published names of the attributes, on the left in the order of `DdimSchedule`.
        schedule = ddim.ddim_schedule(ddim_num_steps, self._alphas_cumprod(), ddim_eta)
        self.ddim_timesteps, self.ddim_alphas, self.ddim_alphas_prev, self.ddim_sigmas = schedule
        if verbose:
            print(f"{len(self.ddim_timesteps)} DDIM timesteps")

    def _alphas_cumprod(self):
        """alpha-bar_t, (T,) float64: the buffer's float32 values, computed with in float64."""
        return self.model.alphas_cumprod.double().cpu().numpy()

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
            S: steps asked for; see `ldm.samplers.ddim.ddim_timesteps`.
            batch_size, shape: N and (C, h, w).
            conditioning, unconditional_conditioning: as `model.apply_model` takes them.
            eta: 0 for the deterministic sampler, 1 for that of DDPM.
            x_T: noise to start from, (N, C, h, w); drawn when not given.
            generators: one CPU generator per sample for all noise; the global one of torch when
                not given.
            log_every_t: steps between the kept intermediates.
            verbose: show a progress bar.
        Returns:
            Samples (N, C, h, w) and the lists `x_inter` and `pred_x0` of intermediates.
        """
        self.make_schedule(S, ddim_eta=eta)
        last = len(self.ddim_timesteps) - 1
        # The device of a buffer: a stand-in for a model need not have parameters.
        device = self.model.alphas_cumprod.device
        x = draw_noise((batch_size, *shape), generators, device) if x_T is None else x_T.to(device)
        # Both lists begin with the noise, as in the published sampler.
        intermediates = {"x_inter": [x], "pred_x0": [x]}

        def denoise(x, t):
            return guided_eps(
                self.model,
                x,
                t,
                conditioning,
                unconditional_conditioning,
                unconditional_guidance_scale,
            )

        def keep(left, x, pred_x0):
            if left % log_every_t == 0 or left == last:  # the last and the first step among them
                intermediates["x_inter"].append(x)
                intermediates["pred_x0"].append(pred_x0)

        samples = ddim.sample(denoise, x, self._alphas_cumprod(), S, eta, generators, keep, verbose)
        return samples, intermediates
