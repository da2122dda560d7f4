"""The frozen encoders of a training, whose work is done once for each prompt and each view."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.options import non_negative_float, option
from dataset import Batch
from ldm.modules.distributions.distributions import DiagonalGaussianDistribution

GB = 10**9  # bytes


@dataclass(frozen=True)
class CacheOptions:
    """Where the latents of views are kept."""

    latent_memory: float = option(
        4.0,
        non_negative_float,
        "GB",
        "memory for latents, per process; further ones go to a file in the run's folder",
    )


class LatentCache:
    """Posterior moments of each view, in memory up to a limit, then in a file.

    A view of 512 pixels takes 0.13 MB, so 32 views of 10,000 images take 42 GB. The file has no
    name once it is open, so nothing is left of it even if the process is killed.

    Args:
        memory_limit: bytes.
        folder: where the file is made when it is needed.
    """

    def __init__(self, memory_limit: float, folder: Path):
        self.memory_limit, self.folder = memory_limit, folder
        self.in_memory: dict[int, torch.Tensor] = {}
        self.in_file: dict[int, int] = {}  # view -> offset in bytes
        self.memory_used, self.file, self.shape = 0, None, None  # bytes; made when needed

    def __contains__(self, view: int) -> bool:
        return view in self.in_memory or view in self.in_file

    def __getitem__(self, view: int) -> torch.Tensor:
        if view in self.in_memory:
            return self.in_memory[view]
        # Mapped anew each time: a mapping that stays would count as memory of this process.
        stored = np.memmap(self.file, np.float32, "r", self.in_file[view], self.shape)
        return torch.from_numpy(np.array(stored))

    def __setitem__(self, view: int, moments: torch.Tensor) -> None:
        """Keep the posterior moments of a view, float32 (8, h, w) on the CPU; all have one shape.

        Raises:
            OSError: the disk is full.
        """
        if self.memory_used + moments.nbytes <= self.memory_limit:
            self.in_memory[view] = moments.clone()  # the memory of one view, not of its whole batch
            self.memory_used += moments.nbytes
            return
        if self.file is None:
            self.file, self.shape = self._open_file(), tuple(moments.shape)
        # Written as a file, not through the mapping: a full disk is an error then, not a signal.
        try:
            offset = self.file.seek(0, os.SEEK_END)
            self.file.write(moments.contiguous().numpy().tobytes())
            self.file.flush()
        except OSError as error:
            raise OSError(
                f"{self.folder}: latents could not be written ({error.strerror}). "
                "Free disk space, or raise --latent_memory or lower --views_per_image."
            ) from error
        self.in_file[view] = offset

    def _open_file(self):
        handle, name = tempfile.mkstemp(prefix=".latents.", suffix=".tmp.dat", dir=self.folder)
        os.unlink(name)  # the content stays until the file is closed
        return os.fdopen(handle, "w+b")


class FrozenEncoders:
    """Text encoder and autoencoder of a model, each asked once for the same thing.

    Prompts are encoded one at a time, on a CPU images too. The last bits of a matrix product can
    depend on how many rows it has, and after a resumption other prompts and images are new.

    Args:
        model: a `LatentDiffusion` whose two encoders are not trained.
        cache: where the latents of views are kept.
    """

    def __init__(self, model, cache: LatentCache):
        self.model, self.cache = model, cache
        self.contexts_by_prompt: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def contexts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompts -> context, (N, 77, width)."""
        # A set has another order in every process; sorted, a run does the same work each time.
        for prompt in sorted(set(prompts) - set(self.contexts_by_prompt)):
            self.contexts_by_prompt[prompt] = self.model.get_learned_conditioning([prompt])[0]
        return torch.stack([self.contexts_by_prompt[prompt] for prompt in prompts])

    @torch.no_grad()
    def posterior(self, batch: Batch) -> DiagonalGaussianDistribution:
        """Posterior of a batch's images: a Gaussian for each value of (N, 4, h, w) latents."""
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
        return DiagonalGaussianDistribution(known.to(device))
