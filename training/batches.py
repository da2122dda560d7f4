"""Batches whose chance depends on seeds alone: the same in any process, at any batch size, after any interruption."""

from collections.abc import Iterator

import torch
from einops import rearrange
from torch.utils.data import Dataset, Sampler

from core.seeds import sample_seed
from dataset import SampleKey


class SeededBatches(Sampler):
    """Batches of (index, seed) or (index, seed, view), shuffled anew each epoch; the last one may be smaller, no sample is left out.

    Args:
        length: samples in the data set.
        seed: of the run; order and samples' seeds follow from it and the epoch.
        views: views of each sample, shown by turns, an epoch each: `view` is the seed of one; 0 for a new one each time, from `seed`.
        epoch, start: where to begin: the batches before `start` of `epoch` are done.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        views: int = 0,
        epoch: int = 0,
        start: int = 0,
    ):
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
        names = [
            f"epoch {self.epoch}",
            *([f"view {self.epoch % self.views}"] if self.views else []),
        ]
        generator = torch.Generator().manual_seed(sample_seed(self.seed, names[0], -1))
        order = torch.randperm(self.length, generator=generator).tolist()
        for batch in range(self.start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [
                (index, *(sample_seed(self.seed, name, index) for name in names))
                for index in indices
            ]


class Share(Sampler):
    """One process's share of each batch that `batches` gives, as items of `WeightedSamples`.

    Every process takes part in every batch, or the others would wait for it for ever: where a batch is smaller than the number
    of processes, those without a sample repeat its first with weight 0. No sample is dropped, and none counts twice.

    Args:
        batches: sampler of whole batches, the same in every process.
        rank, world_size: which process of how many.
    """

    def __init__(self, batches: Sampler, rank: int = 0, world_size: int = 1):
        self.batches, self.rank, self.world_size = batches, rank, world_size

    @property
    def sampler(self):
        """Where Lightning looks for `set_epoch` in a batch sampler."""
        return self.batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple]]:
        for batch in self.batches:
            share = [
                (item, self.world_size / len(batch), len(batch))
                for item in batch[self.rank :: self.world_size]
            ]
            yield share or [(batch[0], 0.0, len(batch))]


class WeightedSamples(Dataset):
    """Samples with two further entries, so that the mean of all processes' weighted sums is the mean over the whole batch.

    `weight` is the factor of the sample's loss, `whole_batch` the number of samples in the batches of all processes together.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, item: tuple) -> dict:
        item, weight, whole_batch = item
        if isinstance(item, tuple):
            key = SampleKey(*item)
        else:
            key = self.dataset.key(item)
        sample = self.dataset[key]
        hwc = {"jpg": sample.image, "hint": sample.hint, "other_hint": sample.other_hint}
        found = {
            n: rearrange(x, "c h w -> h w c").contiguous() for n, x in hwc.items() if x is not None
        }
        found |= {
            "txt": sample.prompt,
            "seed": key.seed,
            "weight": weight,
            "whole_batch": whole_batch,
        }
        return found | ({"view": key.view} if key.view is not None else {})
