"""Seeds that belong to one sample."""

import hashlib
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


def sample_seed(seed: int, name: str, index: int) -> int:
    """Seed of one sample, a whole number of 63 bits.

    Nothing enters but the arguments, so a sample is the same in any order, batch or process.

    Args:
        seed: of the run.
        name, index: of the sample.
    """
    # A hash: sums such as seed + index would give two runs with close seeds the same samples. And
    # Python's own `hash` of a text differs from process to process.
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch's generators take signed 64 bits


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
    """

    def __init__(self, length: int, draws: int, seed: int, name: str):
        self.length, self.draws, self.seed, self.name = length, draws, seed, name

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for draw in range(self.draws):
            place = draw % self.length
            if place == 0:
                # -1 - draw is no number of a draw: the order shares its seed with none.
                generator = sample_generator(self.seed, self.name, -1 - draw)
                order = torch.randperm(self.length, generator=generator).tolist()
            yield order[place], sample_seed(self.seed, self.name, draw)
