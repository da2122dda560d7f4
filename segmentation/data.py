"""Data of the segmenter: pairs of image and mask, random crops, disturbed images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from conditions import ConditionOptions, create_condition
from conditions.pairs import Pair, check_pairs, find_pairs
from conditions.segmentation import read_mask
from core.images import read_grey

CACHE_BYTES = 2**30  # decoded pairs kept in memory, per worker


def gather_pairs(
    image_paths: Sequence[Path], mask_paths: Sequence[Path], num_classes: int
) -> list[Pair]:
    """Pairs of several folders in one list, their sizes and labels checked.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `find_pairs` and `check_pairs`.
    """
    pairs = [
        pair
        for folders in zip(image_paths, mask_paths, strict=True)
        for pair in find_pairs(*folders)
    ]
    check_pairs(pairs, create_condition("segmentation", ConditionOptions(num_classes)))
    return pairs


def read_input(path: Path) -> torch.Tensor:
    """An image as the segmenter takes it, float32 (1, H, W) in [0, 1]."""
    return torch.from_numpy(read_grey(path)).unsqueeze(0)  # (1, H, W)


def read_target(path: Path, num_classes: int) -> torch.Tensor:
    """A mask as class indices, int64 (H, W)."""
    return torch.from_numpy(read_mask(path, num_classes))


def reflect_to(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Extend (..., H, W) at the bottom and the right by reflection.

    Unlike `F.pad`, this reflects as often as it takes, so `x` may be much smaller than the result.
    A side that is long enough stays as it is.
    """
    for dim, size in ((-2, height), (-1, width)):
        n = x.shape[dim]
        if n < size:
            period = max(2 * (n - 1), 1)  # 0 1 2 1 | 0 1 2 1 | ... for n = 3
            i = torch.arange(size, device=x.device) % period  # (size,)
            # Past the end, indices run backwards; the border itself is not repeated.
            x = x.index_select(dim, torch.where(i < n, i, period - i))
    return x


def disturb(image: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast, sharpness and noise of each image of a batch by itself.

    Blur is among them because decoded latents are smoother than the images of a microscope. Whole
    batches take a tenth of the time that single images in the data set would.

    Args:
        image: (N, 1, H, W) in [0, 1]; the result is like it.
    """
    draws = torch.rand(4, len(image), 1, 1, 1, device=image.device)
    brightness, contrast, blur, noise = draws.unbind()  # (N, 1, 1, 1) each
    # Padded by reflection: zeros would darken the border.
    smooth = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, stride=1)  # (N, 1, H, W)
    image = torch.lerp(image, smooth, (2 * blur - 1).clamp(min=0))  # half of the images stay sharp
    mean = image.mean(dim=(-2, -1), keepdim=True)  # (N, 1, 1, 1)
    # Contrast times 0.7 to 1.3 around the mean, brightness up to 0.15 up or down.
    image = (image - mean) * (0.7 + 0.6 * contrast) + mean + 0.3 * (brightness - 0.5)
    return (image + 0.06 * noise * torch.randn_like(image)).clamp(0, 1)


class SegmentationDataset(Dataset):
    """Random square crops of image and mask, turned and flipped alike.

    A sample is float32 (1, S, S) in [0, 1] and int64 (S, S). All randomness comes from torch's
    generator, which the loader seeds in its workers too.

    Args:
        crop: S in pixels; smaller images are extended by reflection.
    """

    def __init__(self, pairs: Sequence[Pair], num_classes: int, crop: int):
        self.pairs, self.num_classes, self.crop = pairs, num_classes, crop
        self.cache, self.cached_bytes = {}, 0
        self.cut = v2.Compose([v2.RandomCrop(crop), v2.RandomHorizontalFlip()])

    def __len__(self):
        return len(self.pairs)

    def _read(self, index):
        if index in self.cache:
            return self.cache[index]
        pair = self.pairs[index]
        image = read_input(pair.image)
        mask = read_target(pair.condition, self.num_classes).to(torch.uint8)  # an eighth of memory
        # When the cache is full it stays as it is: in random order no entry is worth more.
        if self.cached_bytes < CACHE_BYTES:
            self.cache[index] = image, mask
            self.cached_bytes += image.nbytes + mask.nbytes
        return image, mask

    def __getitem__(self, index):
        image, mask = (reflect_to(x, self.crop, self.crop) for x in self._read(index))
        # torchvision draws once for both, as long as each says what it is.
        image, mask = self.cut(tv_tensors.Image(image), tv_tensors.Mask(mask))
        turns = int(torch.randint(4, ()))  # with the flip: all eight symmetries of the square
        image, mask = (x.as_subclass(torch.Tensor).rot90(turns, (-2, -1)) for x in (image, mask))
        return image, mask.long()  # (1, S, S), (S, S)
