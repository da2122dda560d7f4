"""Data of the segmenter: pairs of image and mask from several folders, random crops, disturbed images."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from conditions import ConditionOptions, create_condition
from conditions.segmentation import read_mask
from core.images import read_grey
from dataset import Pair, check_pairs, find_pairs

CACHE_BYTES = 2**30  # decoded pairs kept in memory, per worker


def gather_pairs(image_paths: list[Path], mask_paths: list[Path], num_classes: int) -> list[Pair]:
    """The pairs of several folders in one list, their sizes and labels checked."""
    pairs = [
        pair
        for folders in zip(image_paths, mask_paths, strict=True)
        for pair in find_pairs(*folders)
    ]
    check_pairs(pairs, create_condition("segmentation", ConditionOptions(num_classes)))
    return pairs


def read_input(path: Path) -> torch.Tensor:
    """The image as the segmenter takes it: float32 (1, H, W) in [0, 1]."""
    return torch.from_numpy(read_grey(path)).unsqueeze(0)


def reflect_to(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Extend (..., H, W) at the bottom and the right by reflection, as often as it takes; never shrinks."""
    for dim, size in ((-2, height), (-1, width)):
        n = x.shape[dim]
        if n < size:
            period = max(2 * (n - 1), 1)
            i = torch.arange(size, device=x.device) % period
            x = x.index_select(dim, torch.where(i < n, i, period - i))
    return x


def disturb(image: torch.Tensor) -> torch.Tensor:
    """Other brightness, contrast, sharpness and noise for each image of a batch, (N, 1, H, W) in [0, 1] before and after.

    Blur, because decoded latents are smoother than a microscope's images. On whole batches it takes a tenth of the time.
    """
    brightness, contrast, blur, noise = torch.rand(
        4, len(image), 1, 1, 1, device=image.device
    ).unbind()
    smooth = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    image = torch.lerp(image, smooth, (2 * blur - 1).clamp(min=0))  # half of the images stay sharp
    mean = image.mean(dim=(-2, -1), keepdim=True)
    image = (image - mean) * (0.7 + 0.6 * contrast) + mean + 0.3 * (brightness - 0.5)
    return (image + 0.06 * noise * torch.randn_like(image)).clamp(0, 1)


class SegmentationDataset(Dataset):
    """Random square crops of image and mask, turned and flipped alike: float32 (1, S, S) in [0, 1] and int64 (S, S).

    All randomness comes from torch's generator, which the loader seeds in workers too.
    """

    def __init__(self, pairs: list[Pair], num_classes: int, crop: int):
        self.pairs, self.num_classes, self.crop = pairs, num_classes, crop
        self.cache, self.cached_bytes = {}, 0
        self.cut = v2.Compose([v2.RandomCrop(crop), v2.RandomHorizontalFlip()])

    def __len__(self):
        return len(self.pairs)

    def _read(self, index):
        if index in self.cache:
            return self.cache[index]
        image = read_input(self.pairs[index].image)
        mask = torch.from_numpy(
            read_mask(self.pairs[index].condition, self.num_classes).astype(np.uint8)
        )
        if self.cached_bytes < CACHE_BYTES:
            self.cache[index] = image, mask
            self.cached_bytes += image.nbytes + mask.nbytes
        return image, mask

    def __getitem__(self, index):
        image, mask = (reflect_to(x, self.crop, self.crop) for x in self._read(index))
        image, mask = self.cut(tv_tensors.Image(image), tv_tensors.Mask(mask))
        turns = int(torch.randint(4, ()))  # with the flip: all eight symmetries of the square
        return image.as_subclass(torch.Tensor).rot90(turns, (-2, -1)), mask.as_subclass(
            torch.Tensor
        ).rot90(turns, (-2, -1)).long()
