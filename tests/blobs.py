"""Images with masks, and a segmenter, whose right answers are known."""

import numpy as np
import torch

from conditions.pairs import find_pairs
from core.imaging.images import write_png
from segmentation.network import build_segmenter, save_segmenter

LEVELS = np.array([60, 140, 220])  # grey level of each class


class OneHot(torch.nn.Module):
    """A segmenter that predicts class i of 3 where the image is nearest to the grey level i / 2."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        """Grey images, (N, 1, H, W) in [0, 1] -> logits, (N, 3, H, W)."""
        return -torch.cat([(x - i / 2).abs() for i in range(3)], dim=1)


def write_pairs(folder, images, masks):
    """Write (H, W) arrays to folder/images and folder/masks; returns the pairs."""
    for kind, arrays in (("images", images), ("masks", masks)):
        (folder / kind).mkdir(parents=True)
        for i, pixels in enumerate(arrays):
            write_png(folder / kind / f"{i:02d}.png", np.asarray(pixels, dtype=np.uint8))
    return find_pairs(folder / "images", folder / "masks")


def blobs(count, seed, size=64):
    """Noisy pictures of a disk (class 1) with a core (2) on the ground (0), and their masks.

    Returns:
        two lists of `count` arrays (size, size): grey levels in 0..255, class indices.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    masks = []
    for _ in range(count):
        distance = np.hypot(y - rng.uniform(12, size - 12), x - rng.uniform(12, size - 12))
        masks.append((distance < 16).astype(int) + (distance < 8))
    return [(LEVELS[mask] + rng.normal(0, 15, mask.shape)).clip(0, 255) for mask in masks], masks


def untaught(path, classes=3, seed=0, size=5):
    """Save a segmenter that nothing was taught: its answers change with every turn and flip.

    Args:
        size: of its pixels in nanometres.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_segmenter(path, build_segmenter(classes), {"pixel_size_nm": [size, size]})
    return path


def write_blobs(folder):
    """Write three pictures of different widths, z0.png to z2.png; returns the folder."""
    folder.mkdir()
    for i, picture in enumerate(blobs(3, 0, size=40)[0]):
        write_png(folder / f"z{i}.png", picture.astype(np.uint8)[:, : 40 - i])
    return folder
