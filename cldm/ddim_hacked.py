"""The published face of the DDIM sampler, for notebooks; the mathematics is in `ldm.samplers`."""

import numpy as np
import torch

from cldm.guidance import guided_eps
from cldm.unsupported import check_unsupported
from ldm.modules.diffusionmodules.schedule import add_noise, in_float64
from ldm.samplers import ddim
from ldm.samplers.ddim import DdimSchedule
from ldm.samplers.noise import draw_noise

# Arguments of the published `sample` that do nothing here, with the values that ask for nothing.
UNSUPPORTED = {
    "normals_sequence": None,
    "quantize_x0": False,
    "noise_dropout": 0.0,
    "score_corrector": None,
    "corrector_kwargs": None,
    "dynamic_threshold": None,
    "ucg_schedule": None,
}


class DDIMSampler:
    """DDIM under classifier-free guidance, with the published arguments and results.

    Args:
        model: anything with `apply_model`, `alphas_cumprod` and `parameterization`.
        schedule: always `linear`; the schedule is the model's own.

    Attributes, after `make_schedule`:
        ddim_timesteps: (S,) int64, ascending.
        ddim_alphas, ddim_alphas_prev, ddim_sigmas: alpha-bar at each timestep and at the one below
            it; sigma_t; each (S,) float64.
        ddim_sqrt_one_minus_alphas: (S,) float64.
        ddpm_num_timesteps: T.
        betas, alphas_cumprod, alphas_cumprod_prev, sqrt_alphas_cumprod,
            sqrt_one_minus_alphas_cumprod: the model's whole schedule, tensors (T,).
        ddim_sigmas_for_original_num_steps: sigma_t of a run over all timesteps, (T,) float64.
    """

    def __init__(self, model, schedule="linear"):
        if schedule != "linear":
            raise ValueError(f"schedule {schedule!r}, expected linear")
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
        exact = in_float64(self.model.alphas_cumprod)  # (T,)
        schedule = ddim.ddim_schedule(ddim_num_steps, exact, ddim_eta)
        # The published names of the attributes, on the left in the order of `DdimSchedule`.
        self.ddim_timesteps, self.ddim_alphas, self.ddim_alphas_prev, self.ddim_sigmas = schedule
        self.ddim_sqrt_one_minus_alphas = np.sqrt(1 - self.ddim_alphas)
        abar = self.model.alphas_cumprod
        self.ddpm_num_timesteps = len(abar)
        self.alphas_cumprod = abar
        self.alphas_cumprod_prev = torch.cat([torch.ones_like(abar[:1]), abar[:-1]])
        self.betas = 1 - abar / self.alphas_cumprod_prev
        self.sqrt_alphas_cumprod = abar.sqrt()
        self.sqrt_one_minus_alphas_cumprod = (1 - abar).sqrt()
        self._every_timestep = ddim.full_schedule(exact, ddim_eta)
        self.ddim_sigmas_for_original_num_steps = self._every_timestep.sigmas
        if verbose:
            print(f"{len(self.ddim_timesteps)} DDIM timesteps")

    def _schedule(self, use_original_steps: bool, steps: int | None = None) -> DdimSchedule:
        """The lowest `steps` of the schedule, of all T timesteps or of the chosen ones.

        Raises:
            RuntimeError: `make_schedule` was not called.
            ValueError: more steps than the schedule has.
        """
        if not hasattr(self, "ddim_timesteps"):
            raise RuntimeError("no schedule yet: call make_schedule first")
        schedule = self._every_timestep
        if not use_original_steps:
            schedule = DdimSchedule(
                self.ddim_timesteps, self.ddim_alphas, self.ddim_alphas_prev, self.ddim_sigmas
            )
        count = len(schedule.timesteps)
        steps = count if steps is None else int(steps)
        if not 0 <= steps <= count:
            raise ValueError(f"{steps} steps, expected 0 to {count}, the length of the schedule")
        return DdimSchedule(*(values[:steps] for values in schedule))

    def _denoiser(self, cond, scale, uncond):
        """Function (x, t) -> the noise predicted in x under guidance."""
        return lambda x, t: guided_eps(self.model, x, t, cond, uncond, scale)

    @torch.no_grad()
    def sample(
        self,
        S,
        batch_size,
        shape,
        conditioning=None,
        *,
        callback=None,
        img_callback=None,
        eta=0.0,
        mask=None,
        x0=None,
        temperature=1.0,
        x_T=None,
        unconditional_guidance_scale=1.0,
        unconditional_conditioning=None,
        generators=None,
        log_every_t=100,
        verbose=True,
        **unsupported,
    ):
        """Draw samples.

        Args:
            S: steps asked for; see `ldm.samplers.ddim.ddim_timesteps`.
            batch_size, shape: N and (C, h, w).
            conditioning, unconditional_conditioning: as `model.apply_model` takes them.
            callback: called after each step with its number, from 0.
            img_callback: called after each step with the predicted x_0 and the step's number.
            eta: 0 for the deterministic sampler, 1 for that of DDPM.
            mask, x0: latents to keep: where `mask`, (N or 1, C or 1, h, w) in [0, 1], is 1, every
                step starts from `x0`, (N, C, h, w), with the noise of its timestep.
            temperature: factor of the noise of each step; 1 for that of the paper.
            x_T: noise to start from, (N, C, h, w); drawn when not given.
            generators: one CPU generator per sample for all noise; the global one of torch when
                not given.
            log_every_t: steps between the kept intermediates.
            verbose: show a progress bar.
            unsupported: other published arguments, with values that ask for nothing.
        Returns:
            Samples (N, C, h, w) and the lists `x_inter` and `pred_x0` of intermediates.
        Raises:
            ValueError: a mask without `x0`; others as `check_unsupported` and `make_schedule`.
        """
        check_unsupported(unsupported, UNSUPPORTED, "DDIMSampler.sample")
        keep_masked = self._mask_keeper(mask, x0, generators)
        self.make_schedule(S, ddim_eta=eta)
        # The device of a buffer: a stand-in for a model need not have parameters.
        device = self.model.alphas_cumprod.device
        x = draw_noise((batch_size, *shape), generators, device) if x_T is None else x_T.to(device)
        # Both lists begin with the noise, as in the published sampler.
        intermediates = {"x_inter": [x], "pred_x0": [x]}
        samples = ddim.descend(
            self._denoiser(conditioning, unconditional_guidance_scale, unconditional_conditioning),
            x,
            self._schedule(use_original_steps=False),
            generators,
            before_step=keep_masked,
            on_step=self._step_recorder(intermediates, log_every_t, callback, img_callback),
            temperature=temperature,
            verbose=verbose,
        )
        return samples, intermediates

    def _mask_keeper(self, mask, x0, generators):
        """Function (x, i) -> x with x_0 at the noise of step i where the mask is 1.

        It is None without a mask. Raises ValueError for a mask without `x0`.
        """
        if mask is None:
            return None
        if x0 is None:
            raise ValueError("mask without x0: expected the latents that the mask keeps")

        def keep_masked(x, i):
            noise = draw_noise(x.shape, generators, x.device)  # (N, C, h, w)
            return self.stochastic_encode(x0, i, noise=noise) * mask + (1 - mask) * x

        return keep_masked

    def _step_recorder(self, intermediates, every, callback, img_callback):
        """Function for `on_step`: calls the callbacks, and appends to `intermediates`."""
        last = len(self.ddim_timesteps) - 1

        def after_step(left, x, pred_x0):
            if callback:
                callback(last - left)
            if img_callback:
                img_callback(pred_x0, last - left)
            if left % every == 0 or left == last:  # the last and the first step among them
                intermediates["x_inter"].append(x)
                intermediates["pred_x0"].append(pred_x0)

        return after_step

    # From an image to noise, and back

    @torch.no_grad()
    def stochastic_encode(self, x0, t, use_original_steps=False, noise=None):
        """x_t given x_0, (N, C, h, w) (Ho et al. 2020, Eq. 4).

        Args:
            x0: clean latents, (N, C, h, w).
            t: index into `ddim_timesteps`, or the timestep itself with `use_original_steps`; a
                number or (N,). `decode` with `t_start = t + 1` begins at the noise of index `t`.
            noise: like `x0`; drawn when not given.
        Raises:
            RuntimeError, ValueError: as `_schedule`; an index beyond the schedule.
        """
        abar = self._schedule(use_original_steps).abar
        index = np.atleast_1d(torch.as_tensor(t).cpu().numpy())
        if index.min() < 0 or index.max() >= len(abar):
            raise ValueError(f"t {index.max()}, expected 0 to {len(abar) - 1}")
        abar_t = torch.from_numpy(abar[index]).to(x0)[:, None, None, None]  # (N or 1, 1, 1, 1)
        noise = torch.randn_like(x0) if noise is None else noise
        return add_noise(x0, noise, abar_t.sqrt(), (1 - abar_t).sqrt())  # (N, C, h, w)

    @torch.no_grad()
    def encode(
        self,
        x0,
        c,
        t_enc,
        use_original_steps=False,
        return_intermediates=None,
        unconditional_guidance_scale=1.0,
        unconditional_conditioning=None,
        callback=None,
        verbose=True,
    ):
        """Noise from which `decode` finds back to `x0`; see `ldm.samplers.ddim.ascend`.

        Args:
            x0: clean latents, (N, C, h, w).
            c, unconditional_conditioning: as `model.apply_model` takes them.
            t_enc: number of steps, from the lowest.
            use_original_steps: step through every timestep.
            return_intermediates: number of latents on the way to return.
            callback: called after each step with its number, from 0.
            verbose: show a progress bar.
        Returns:
            Latents (N, C, h, w), and a dictionary: `x_encoded`, these; with
            `return_intermediates`, `intermediates` and their step numbers `intermediate_steps`.
        Raises:
            RuntimeError, ValueError: as `_schedule`.
        """
        schedule = self._schedule(use_original_steps, t_enc)
        denoise = self._denoiser(c, unconditional_guidance_scale, unconditional_conditioning)
        count = len(schedule.timesteps)
        wanted = set(np.linspace(0, count - 1, min(return_intermediates or 0, count)).astype(int))
        intermediates = {}

        def after_step(i, x):
            if i in wanted:
                intermediates[i] = x
            if callback:
                callback(i)

        x = ddim.ascend(denoise, x0, schedule, after_step, verbose)  # (N, C, h, w)
        out = {"x_encoded": x}
        if return_intermediates:
            out["intermediates"] = list(intermediates.values())
            out["intermediate_steps"] = list(intermediates)
        return x, out

    @torch.no_grad()
    def decode(
        self,
        x_latent,
        cond,
        t_start,
        unconditional_guidance_scale=1.0,
        unconditional_conditioning=None,
        use_original_steps=False,
        callback=None,
        verbose=True,
    ):
        """Samples from noisy latents, (N, C, h, w): the lowest `t_start` steps of the schedule.

        Args:
            x_latent: latents with the noise of step `t_start - 1`, (N, C, h, w).
            cond, unconditional_conditioning: as `model.apply_model` takes them.
            use_original_steps: step through every timestep.
            callback: called after each step with its number, from 0.
            verbose: show a progress bar.
        Raises:
            RuntimeError, ValueError: as `_schedule`.
        """
        schedule = self._schedule(use_original_steps, t_start)
        denoise = self._denoiser(cond, unconditional_guidance_scale, unconditional_conditioning)
        last = len(schedule.timesteps) - 1
        on_step = (lambda left, x, pred_x0: callback(last - left)) if callback else None
        return ddim.descend(denoise, x_latent, schedule, on_step=on_step, verbose=verbose)
