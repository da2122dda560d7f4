"""Data of the segmenter: pairs of image and mask, random crops, sources that are mixed."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset, Sampler

from conditions import ConditionOptions, Segmentation
from conditions.pairs import Pair, check_pairs, find_pairs
from conditions.segmentation import read_mask
from core.draws import SeededDraws, sample_generator
from core.imaging.images import image_size, read_grey
from core.imaging.labels import IGNORE
from core.imaging.resampling import Resampling, resampling_to
from core.notices import notify
from segmentation.augmentation import AUGMENTATIONS, Augmentation
from segmentation.options import BASIC
from segmentation.run_record import read_run

CACHE_BYTES = 2**30  # decoded pairs kept in memory, per worker


def gather_pairs(
    image_paths: Sequence[Path],
    mask_paths: Sequence[Path],
    num_classes: int,
    allow_ignore: bool = False,
) -> list[Pair]:
    """Pairs of several folders in one list, their sizes and labels checked.

    Args:
        allow_ignore: whether masks may mark pixels as IGNORE, as those of a generation do.
    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `find_pairs` and `check_pairs`.
    """
    pairs = [
        pair
        for folders in zip(image_paths, mask_paths, strict=True)
        for pair in find_pairs(*folders)
    ]
    check_pairs(pairs, Segmentation(ConditionOptions(num_classes), allow_ignore))
    for folder in image_paths:
        _notify_of_missing(folder, sum(pair.image.parent == folder for pair in pairs))
    return pairs


def _notify_of_missing(folder: Path, found: int) -> None:
    """Notify where a generation has not drawn all of its images, or some were removed."""
    run = read_run(folder.parent)
    if run and found < sum(run.copies):
        notify(
            f"{folder}: {found} of the {sum(run.copies)} images of this run. Unless you removed "
            f"the others, python generate.py --resume_run {folder.parent} draws them"
        )


def find_resamplings(
    pairs: Sequence[Pair], pixel_side: float | None
) -> dict[Path, Resampling | None]:
    """Changes of the pixel size by folder of images; raises as `resampling_to`."""
    folders = dict.fromkeys(pair.image.parent for pair in pairs)
    return {folder: resampling_to(folder, pixel_side) for folder in folders}


def read_input(path: Path, resampling: Resampling | None = None) -> torch.Tensor:
    """An image as the segmenter takes it, float32 (1, H, W) in [0, 1]."""
    image = read_grey(path)
    image = resampling.image(image) if resampling else image
    return torch.from_numpy(image).unsqueeze(0)  # (1, H, W)


def read_target(path: Path, num_classes: int, resampling: Resampling | None = None) -> torch.Tensor:
    """A mask as class indices or IGNORE, int64 (H, W); `gather_pairs` has checked it."""
    labels = read_mask(path, num_classes, allow_ignore=True)
    return torch.from_numpy(resampling.labels(labels) if resampling else labels)


def digest_of(pixels: torch.Tensor) -> bytes | None:
    """Checksum of pixels, whatever the format of their file.

    None where all are equal, those marked with IGNORE aside: many pictures are empty.
    """
    shown = pixels[pixels != IGNORE]
    if not len(shown) or shown.min() == shown.max():
        return None
    return hashlib.sha256(str(pixels.shape).encode() + pixels.numpy().tobytes()).digest()


class SegmentationDataset(Dataset):
    """Random square crops of image and mask, cut and shaded by one of `AUGMENTATIONS`.

    `dataset[index, seed]` is float32 (1, S, S) in [0, 1] and int64 (S, S). It depends on index and
    seed alone; torch's random state stays as it was.

    Args:
        crop: S in pixels; smaller images are extended by reflection.
        pixel_side: in nm, to which pairs are resampled; None keeps them.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        num_classes: int,
        crop: int,
        augmentation: Augmentation = AUGMENTATIONS[BASIC],
        pixel_side: float | None = None,
    ):
        self.pairs, self.num_classes, self.crop = pairs, num_classes, crop
        self.augmentation = augmentation
        self.resamplings = find_resamplings(pairs, pixel_side)
        self.cache, self.cached_bytes = {}, 0

    def __len__(self):
        return len(self.pairs)

    def notify_of_small_images(self) -> None:
        """Warn of an image that crops show several times: one side fills less than half of them."""
        for pair in self.pairs:
            height, width = image_size(pair.image)
            if resampling := self.resamplings[pair.image.parent]:
                height, width = resampling.size_of(height, width)
            if 2 * min(height, width) < self.crop:
                notify(
                    f"{pair.image}: {width} x {height} pixels (width x height), so a crop of "
                    f"{self.crop} shows it several times, mirrored. Take a smaller image_size, "
                    "or larger images"
                )
                return

    def _read(self, index):
        if index in self.cache:
            return self.cache[index]
        pair = self.pairs[index]
        resampling = self.resamplings[pair.image.parent]
        image = read_input(pair.image, resampling)
        mask = read_target(pair.condition, self.num_classes, resampling)
        mask = mask.to(torch.uint8)  # an eighth of memory
        # When the cache is full it stays as it is: in random order no entry is worth more.
        if self.cached_bytes < CACHE_BYTES:
            self.cache[index] = image, mask
            self.cached_bytes += image.nbytes + mask.nbytes
        return image, mask

    def __getitem__(self, item):
        index, seed = item
        image, mask = self._read(index)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own state
            torch.manual_seed(seed)
            image, mask = self.augmentation.cut(image, mask, self.crop)
            image = self.augmentation.shade(image[None])[0]
        return image, mask.long()  # (1, S, S), (S, S)


class MixedDraws(Sampler):
    """(index, seed) of a number of draws from several sources that stand one after the other.

    Each source gives its own samples in random order, again and again.

    Args:
        lengths: number of samples of each source.
        weights: how often each source is drawn from, relative to the others.
        draws: how many pairs are given in all.
        seed: of the run.
        only_last: so many draws at the beginning come from the last source alone.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        weights: Sequence[float],
        draws: int,
        seed: int,
        only_last: int = 0,
    ):
        self.lengths, self.weights = lengths, torch.tensor(weights, dtype=torch.float64)
        self.draws, self.seed, self.only_last = draws, seed, only_last

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[tuple[int, int]]:
        offsets = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        streams = [
            iter(SeededDraws(length, self.draws, self.seed, f"source {i}"))
            for i, length in enumerate(self.lengths)
        ]
        generator = sample_generator(self.seed, "sources", 0)
        sources = torch.multinomial(self.weights, self.draws, replacement=True, generator=generator)
        sources[: self.only_last] = len(self.lengths) - 1
        for source in sources.tolist():
            index, seed = next(streams[source])
            yield offsets[source] + index, seed
