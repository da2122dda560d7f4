"""The published names of ControlNet, for notebooks and published code; no program runs this class.

Configurations name `ControlLDM`, and `cldm.model.create_model` builds it. Programs call
`build_model`, which builds `cldm.controlnet.ControlledDiffusionModel` in its place (see
`PLAIN_TARGETS` in `cldm.configuration`). Networks and mathematics are in that module, which knows
nothing of Lightning.
"""

import torch
from einops import rearrange

from cldm.controlnet import ControlledDiffusionModel, ControlledUnetModel, ControlNet
from cldm.ddim_hacked import DDIMSampler
from cldm.unsupported import check_unsupported
from core.imaging.pictures import prompt_to_pixels
from ldm.models.diffusion.ddpm import LatentDiffusion

__all__ = ["ControlLDM", "ControlNet", "ControlledUnetModel"]

# Arguments of the published `log_images`: those that change no picture, and those that draw
# pictures which are not made here, with the values that ask for nothing.
LOG_HARMLESS = (
    "split", "n_row", "quantize_denoised", "inpaint", "plot_progressive_rows",
    "unconditional_guidance_label", "use_ema_scope",
)  # fmt: skip
LOG_UNSUPPORTED = {"return_keys": None, "plot_denoise_rows": False, "plot_diffusion_rows": False}


class ControlLDM(ControlledDiffusionModel, LatentDiffusion):
    """Latent diffusion with a control branch, trained by any Trainer on batches with a `hint`.

    For notebooks and published code: see the module. Its arguments are those of
    `ControlledDiffusionModel`.
    """

    def get_input(self, batch, k=None, bs=None):
        """As `LatentDiffusion.get_input`, with the hint (N, H, W, c) among the conditions."""
        x_start, cond = super().get_input(batch, k, bs)
        hint = rearrange(batch[self.control_key][:bs], "n h w c -> n c h w").contiguous()
        hint = hint.to(x_start.dtype)
        return x_start, {**cond, "c_concat": [hint]}

    def sample_log(self, cond, batch_size, ddim=True, ddim_steps=50, **options):
        """Samples for conditions, z (N, C, h, w), and intermediates, as `DDIMSampler.sample`.

        Args:
            cond: N conditions with a hint, as `apply_model` takes them; the hint gives the size.
            ddim: always true; published scripts pass it.
            options: further arguments of `DDIMSampler.sample`.
        Raises:
            ValueError: `ddim` is false; others as `DDIMSampler.sample`.
        """
        if not ddim:
            raise ValueError("ddim: expected true; sampling by DDPM's own steps is not supported")
        shape = self.latent_shape(*cond["c_concat"][0].shape[2:])
        return DDIMSampler(self).sample(
            ddim_steps, batch_size, shape, cond, verbose=False, **options
        )

    @torch.no_grad()
    def log_images(
        self,
        batch,
        N=4,
        sample=False,
        ddim_steps=50,
        ddim_eta=0.0,
        unconditional_guidance_scale=9.0,
        **unsupported,
    ):
        """Pictures of a batch by name, each (N, c, H, W), about [-1, 1], not clipped.

        They are `reconstruction`, `control`, `conditioning` (the prompt), `samples` on request, and
        `samples_cfg_scale_<scale>` above scale 1.

        Args:
            batch: as `get_input` takes it.
            N: number of samples to show.
            sample: draw samples without guidance too.
            ddim_steps, ddim_eta, unconditional_guidance_scale: how samples are drawn.
            unsupported: other published arguments, with values that ask for nothing.
        """
        check_unsupported(
            {name: value for name, value in unsupported.items() if name not in LOG_HARMLESS},
            LOG_UNSUPPORTED,
            "log_images",
        )
        z, cond = self.get_input(batch, bs=N)  # (N, C, h, w)
        prompts, hint = batch[self.cond_stage_key][:N], cond["c_concat"][0]
        text = torch.from_numpy(prompt_to_pixels(prompts, hint.shape[2:]))  # (N, H, W, 3)
        log = {
            "reconstruction": self.decode_first_stage(z),
            "control": hint * 2 - 1,
            "conditioning": rearrange(text, "n h w c -> n c h w") / 127.5 - 1,
        }
        drawn = {"samples": {}} if sample else {}  # picture -> how it is guided
        if unconditional_guidance_scale > 1:
            name = f"samples_cfg_scale_{unconditional_guidance_scale:.2f}"
            drawn[name] = self._guidance(cond, len(z), unconditional_guidance_scale)
        for name, guidance in drawn.items():
            samples, _ = self.sample_log(
                cond, len(z), ddim_steps=ddim_steps, eta=ddim_eta, **guidance
            )
            log[name] = self.decode_first_stage(samples)
        return log

    def _guidance(self, cond, batch_size, scale):
        """Arguments of `DDIMSampler.sample` that guide away from the empty prompt."""
        empty = self.get_unconditional_conditioning(batch_size)  # (N, 77, width)
        return {
            "unconditional_guidance_scale": scale,
            "unconditional_conditioning": {**cond, "c_crossattn": [empty]},
        }
