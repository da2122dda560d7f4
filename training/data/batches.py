"""Batches of sample keys, the same in any process and after any interruption."""

from collections.abc import Container, Iterator

import torch
from torch.utils.data import Sampler

from core.draws import sample_generator
from core.samples import PlacedKey, SampleKey
from core.seeds import sample_seed
from dataset import ValidationSet


class SeededBatches(Sampler):
    """Batches of sample keys, shuffled anew in each epoch; no sample is left out.

    Args:
        length: samples in the data set.
        batch_size: samples per batch; the last batch of an epoch may be smaller.
        seed: of the run; order and samples' seeds follow from it and the epoch.
        views: views of each sample, one of which is shown in an epoch, by turns; 0 for a new one
            each time.
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

    def set_epoch(self, epoch: int) -> None:
        """Begin another epoch; Lightning calls this."""
        # Lightning also calls it for the epoch of a resumed run, whose `start` must stay.
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0

    def __len__(self) -> int:
        return -(-self.length // self.batch_size)  # rounded up: the last batch may be smaller

    def __iter__(self) -> Iterator[list[SampleKey]]:
        # Seeds come from names, not from a generator's state, so a run can begin at any batch.
        epoch = f"epoch {self.epoch}"
        # -1 is no index of a sample: the order shares its seed with none.
        generator = sample_generator(self.seed, epoch, -1)
        order = torch.randperm(self.length, generator=generator).tolist()
        for batch in range(self.start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [
                SampleKey(index, sample_seed(self.seed, epoch, index), self._view(index))
                for index in indices
            ]

    def _view(self, index: int) -> int | None:
        """Seed of the view of a sample that this epoch shows."""
        if not self.views:
            return None
        # The epoch enters through the remainder alone: after `views` epochs each view comes again,
        # with a new prompt and new noise, and its latent is known by then.
        return sample_seed(self.seed, f"view {self.epoch % self.views}", index)


class ValidationBatches(Sampler):
    """Batches of the keys of a `ValidationSet`, the same in every epoch."""

    def __init__(self, dataset: ValidationSet, batch_size: int):
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        # In order and with fixed keys: the losses of two epochs differ by the weights alone.
        keys = [self.dataset.key(index) for index in range(len(self.dataset))]
        for start in range(0, len(keys), self.batch_size):
            yield keys[start : start + self.batch_size]


class BatchesOfProcess(Sampler):
    """This process's share of each batch; weights make the mean over processes that of the batch.

    Every process takes part in every batch, or the others would wait for it forever. Where a batch
    is smaller than the number of processes, those without a sample repeat its first one with weight
    0. So no sample is dropped, and none counts twice.

    Args:
        batches: sampler of whole batches, the same in every process.
        rank, world_size: which process of how many.
        known: views whose latents this process has already, so their images need not be read.
    """

    def __init__(
        self,
        batches: Sampler,
        rank: int = 0,
        world_size: int = 1,
        known: Container[int] = (),
    ):
        self.batches, self.rank, self.world_size = batches, rank, world_size
        self.known = known

    @property
    def sampler(self):
        """The sampler of whole batches, under the name where Lightning looks for `set_epoch`."""
        return self.batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[PlacedKey]]:
        for batch in self.batches:
            # Gradients are averaged over processes, which divides by `world_size`.
            own, weight = batch[self.rank :: self.world_size], self.world_size / len(batch)
            if not own:
                # All processes must take the step, or the exchange of gradients would wait forever.
                own, weight = batch[:1], 0.0
            yield [
                PlacedKey(
                    key,
                    needs_image=key.view is None or key.view not in self.known,
                    weight=weight,
                    whole_batch=len(batch),
                )
                for key in own
            ]
