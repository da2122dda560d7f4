"""Latents of views, kept in memory up to a limit, then in a file."""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch

GB = 10**9  # bytes


class LatentCache:
    """Posterior moments by the number of the view.

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
