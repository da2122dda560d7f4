"""Augmented views of images, and the order in which a training sees the images."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset, Sampler
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from core.draws import sample_generator
from core.imaging.images import read_grey
from core.seeds import sample_seed


class GaussianNoise(torch.nn.Module):
    """Noise whose variance is drawn log-uniformly from 1e-5 to 1e-4."""

    def forward(self, x):
        """(1, H, W) in [0, 1] -> the same."""
        variance = 10 ** torch.empty(()).uniform_(-5, -4)  # (), one for the whole view
        return (x + variance.sqrt() * torch.randn_like(x)).clamp(0, 1)  # (1, H, W)


class GaussianBlur(torch.nn.Module):
    """A blur whose standard deviation is drawn uniformly from 0.1 to 2 pixels."""

    def forward(self, x):
        """(1, H, W) -> the same."""
        sigma = float(torch.empty(()).uniform_(0.1, 2))
        size = 2 * int(3 * sigma + 1) + 1  # pixels, odd; three deviations on either side
        return TF.gaussian_blur(x, kernel_size=size, sigma=sigma)  # (1, H, W)


def view(size: int, smallest: float, largest: float, mean: float, std: float) -> v2.Compose:
    """The published augmentation, grey (1, H, W) in [0, 1] -> normalised (1, size, size).

    The published chain also jitters hue and saturation of three equal channels, which does nothing.

    Args:
        smallest, largest: share of the image's area that a crop takes.
        mean, std: of the normalisation, in [0, 1] units.
    """
    return v2.Compose(
        [
            v2.RandomApply([v2.RandomRotation(180, v2.InterpolationMode.BILINEAR)], p=0.5),
            v2.RandomResizedCrop(size, (smallest, largest), antialias=True),
            v2.ColorJitter(brightness=0.4, contrast=0.4),
            v2.RandomApply([GaussianBlur()], p=0.5),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomApply([GaussianNoise()], p=0.5),
            v2.Normalize([mean], [std]),
        ]
    )


class Views(Dataset):
    """Several views of each image.

    `dataset[index, seed]` is a list of tensors (1, size, size), which depends on index and seed
    alone.
    """

    def __init__(self, paths: Sequence[Path], views: Sequence[v2.Compose]):
        self.paths, self.views = paths, views

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, item):
        index, seed = item
        grey = torch.from_numpy(read_grey(self.paths[index]))[None]  # (1, H, W)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(seed)
            return [view(grey) for view in self.views]


class SeededShard(Sampler):
    """(index, seed) of one process's share of each epoch.

    Order, choice and seeds follow from the run's seed and the epoch alone.

    Args:
        length: number of images.
        weights: None visits every image once; otherwise images are drawn with these probabilities,
            with replacement.
        shard, shards: which process of how many; all get equally many.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        weights: torch.Tensor | None = None,
        shard: int = 0,
        shards: int = 1,
    ):
        self.length, self.seed, self.weights = length, seed, weights
        self.shard, self.shards = shard, shards
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this as an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.shards

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # Every process draws the whole order, so that shares neither overlap nor leave gaps.
        name = f"epoch {self.epoch}"
        generator = sample_generator(self.seed, name, -1)
        if self.weights is None:
            order = torch.randperm(self.length, generator=generator)
        else:
            order = torch.multinomial(
                self.weights, self.length, replacement=True, generator=generator
            )
        # The rest of the division is left out: processes with one batch more would wait forever.
        for place in range(self.shard, len(self) * self.shards, self.shards):
            yield int(order[place]), sample_seed(self.seed, name, place)


def group_weights(paths: Sequence[Path], root: Path, gamma: float) -> torch.Tensor:
    """Probability of each image, (n,) float64; large sub-folders of `root` count less.

    An image weighs (1 / images in its sub-folder) ** gamma. Images right below `root` are a group.
    """
    inside = [path.relative_to(root).parts for path in paths]
    groups = [parts[0] if len(parts) > 1 else "" for parts in inside]
    counts = Counter(groups)
    weights = torch.tensor([counts[group] ** -gamma for group in groups], dtype=torch.float64)
    return weights / weights.sum()
