"""Random numbers of torch that belong to one sample, and draws of samples."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from core.seeds import sample_seed


def sample_generator(seed: int, name: str, index: int) -> torch.Generator:
    """A generator on the CPU with the seed of one sample; see `sample_seed`."""
    return torch.Generator().manual_seed(sample_seed(seed, name, index))


class SeededDraws(Sampler):
    """(index, seed) of a number of draws: all samples in random order, again and again.

    Batches of draws are always full, however few samples there are.

    Args:
        length: number of samples.
        draws: how many pairs are given in all.
        seed: of the run.
        name: tells draws of one run apart.
        start: how many of them are left out at the beginning, because they are done.
    """

    def __init__(self, length: int, draws: int, seed: int, name: str, start: int = 0):
        self.length, self.draws, self.seed, self.name = length, draws, seed, name
        self.start = start

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = []
        for draw in range(self.start, self.draws):
            place = draw % self.length
            if place == 0 or not order:
                # Numbered by its first draw. -1 - draw is no number of a draw: the order shares its
                # seed with none.
                generator = sample_generator(self.seed, self.name, -1 - (draw - place))
                order = torch.randperm(self.length, generator=generator).tolist()
            yield order[place], sample_seed(self.seed, self.name, draw)
