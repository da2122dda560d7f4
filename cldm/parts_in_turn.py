"""A model of which only the parts at work are on the GPU."""

from typing import Any

import torch


class PartsInTurn:
    """A `ControlledDiffusionModel` for sampling on small cards: slower, and the same pictures.

    U-Net and control branch are on the GPU while they predict noise, the text encoder and the
    autoencoder before and after. Whatever else is asked for is the model's own.

    Args:
        model: it is on its device. Parts stay where the last call has brought them.
    """

    def __init__(self, model):
        self._whole, self._diffusing = model, None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)  # called for what this class does not define

    def _bring(self, diffusing: bool):
        """The model, with the parts on the GPU that diffusion needs, or else the encoders."""
        if self._diffusing is not diffusing:  # a run of steps moves nothing
            self._whole.low_vram_shift(is_diffusing=diffusing)
            self._diffusing = diffusing
        return self._whole

    def get_learned_conditioning(self, texts):
        """As the model's: N prompts -> context (N, 77, width)."""
        return self._bring(diffusing=False).get_learned_conditioning(texts)

    def get_unconditional_conditioning(self, n):
        """As the model's: the empty prompt, (n, 77, width)."""
        return self._bring(diffusing=False).get_unconditional_conditioning(n)

    def encode_first_stage(self, x):
        """As the model's: image (N, 3, H, W) -> the Gaussian of its latents, (N, C, H/8, W/8)."""
        return self._bring(diffusing=False).encode_first_stage(x)

    def decode_first_stage(self, z):
        """As the model's: z (N, C, H/8, W/8) -> image (N, 3, H, W); one at a time.

        The decoder's memory grows fastest.
        """
        model = self._bring(diffusing=False)
        return torch.cat([model.decode_first_stage(part) for part in z.split(1)])  # (N, 3, H, W)

    def encode_hints(self, cond):
        """As the model's: `cond` with its hints encoded."""
        return self._bring(diffusing=True).encode_hints(cond)

    def apply_model(self, x_noisy, t, cond, **options):
        """As the model's: the prediction for `x_noisy`, of its shape."""
        return self._bring(diffusing=True).apply_model(x_noisy, t, cond, **options)
