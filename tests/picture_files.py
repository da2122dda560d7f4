"""Picture files that tests write: single ones, empty ones, and folders of images with masks."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image


def write(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels in the format of the path's suffix; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def touch(folder: Path, *names: str) -> Path:
    """Make a folder of empty files; returns the folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def blocks(shape: tuple[int, int], num_classes: int = 3, seed: int = 0, side: int = 8):
    """Class indices in square blocks, uint8; every class is there if there is room."""
    rng = np.random.default_rng(seed)
    size = shape[0] // side + 1, shape[1] // side + 1
    coarse = rng.integers(0, num_classes, size, dtype=np.uint8)
    coarse.flat[:num_classes] = range(num_classes)
    return coarse.repeat(side, axis=0).repeat(side, axis=1)[: shape[0], : shape[1]]


def make_pairs(
    root: Path,
    shape: tuple[int, int] = (64, 64),
    num: int = 3,
    num_classes: int = 3,
    image: np.ndarray | None = None,
) -> tuple[Path, Path]:
    """Write root/images/s_0.png, ... and root/masks/s_0.png, ...; returns the two folders.

    Args:
        image: every image; without it an image shows its mask in grey levels.
    """
    for i in range(num):
        labels = blocks(shape, num_classes, seed=i)
        grey = (labels.astype(int) * 255 // (num_classes - 1)).astype(np.uint8)
        write(root / "images" / f"s_{i}.png", grey if image is None else image)
        write(root / "masks" / f"s_{i}.png", labels)
    return root / "images", root / "masks"
