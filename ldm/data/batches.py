"""Batches whose chance depends on seeds alone: the same in any process, at any batch size, after any interruption."""

import hashlib
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


def sample_seed(seed: int, name: str, index: int) -> int:
    """Seed of one sample, 63 bits, from the run's seed, a name and a number; nothing else enters."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class SeededBatches(Sampler):
    """Batches of (index, seed) or (index, seed, view), shuffled anew each epoch; the last one may be smaller, no sample is left out.

    Args:
        length: samples in the data set.
        seed: of the run; order and samples' seeds follow from it and the epoch.
        views: views of each sample, shown by turns, an epoch each: `view` is the seed of one; 0 for a new one each time, from `seed`.
        epoch, start: where to begin: the batches before `start` of `epoch` are done.
    """

    def __init__(self, length: int, batch_size: int, seed: int, views: int = 0, epoch: int = 0, start: int = 0):
        self.length, self.batch_size, self.seed, self.views = length, batch_size, seed, views
        self.epoch, self.start = epoch, start

    @property
    def sampler(self):
        """Where Lightning looks for `set_epoch` in a batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this as an epoch begins."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        names = [f"epoch {self.epoch}", *([f"view {self.epoch % self.views}"] if self.views else [])]
        generator = torch.Generator().manual_seed(sample_seed(self.seed, names[0], -1))
        order = torch.randperm(self.length, generator=generator).tolist()
        for batch in range(self.start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(index, *(sample_seed(self.seed, name, index) for name in names)) for index in indices]
