"""The frozen encoders of a training, whose work is done once for each prompt and each view."""

from collections.abc import Sequence

import torch

from core.hardware.devices import to_device
from core.samples import Batch
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution
from training.step.latents import LatentCache

MAX_CONTEXTS = 1000  # embedded prompts that are kept; those of SD 1.5 take 0.24 MB each


class FrozenEncoders:
    """Text encoder and autoencoder of a model, each asked once for the same thing.

    Prompts are encoded one at a time, on a CPU images too. The last bits of a matrix product can
    depend on how many rows it has, and after a resumption other prompts and images are new. Of a
    long list of prompts, those used last are kept.

    Args:
        model: a `LatentDiffusionModel` whose two encoders are not trained.
        cache: where the latents of views are kept.
    """

    def __init__(self, model, cache: LatentCache):
        self.model, self.cache = model, cache
        self.contexts_by_prompt: dict[str, torch.Tensor] = {}  # in the order of their last use

    @torch.no_grad()
    def contexts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompts -> context, (N, 77, width)."""
        contexts = []
        for prompt in prompts:
            context = self.contexts_by_prompt.pop(prompt, None)
            if context is None:
                context = self.model.get_learned_conditioning([prompt])[0]  # (77, width)
            self.contexts_by_prompt[prompt] = context  # now the last
            contexts.append(context)
        while len(self.contexts_by_prompt) > MAX_CONTEXTS:
            del self.contexts_by_prompt[next(iter(self.contexts_by_prompt))]
        return torch.stack(contexts)  # (N, 77, width)

    @torch.no_grad()
    def posterior(self, batch: Batch) -> DiagonalGaussianDistribution:
        """Posterior of a batch's images: a Gaussian for each value of (N, C, h, w) latents."""
        encode = self.model.first_stage_model.encode
        if batch.keys[0].view is None:  # nothing is seen twice
            return encode(batch.images)
        device, together = batch.images.device, len(batch.keys)
        new = [key.view for key, read in zip(batch.keys, batch.has_image, strict=True) if read]
        images = batch.images.split(1 if device.type == "cpu" else together)
        moments = [encode(part).parameters.float().cpu() for part in images if len(part)]
        for view, one in zip(new, torch.cat(moments) if moments else (), strict=True):
            self.cache[view] = one
        known = torch.stack([self.cache[key.view] for key in batch.keys])  # (N, 8, h, w)
        return DiagonalGaussianDistribution(to_device(known, device))
