"""From a picture to what a pose machine takes, and from its coarse maps back to pixels."""

import cv2
import numpy as np
import torch

STRIDE = 8  # pixels of the network's input per pixel of its maps
GREY = 128  # fills the padding
LONGEST = 4096  # pixels; very elongated pictures shrink until they fit
SIGMA = 3.0  # deviation, in pixels, of the blur before peaks are looked for
RADIUS = 12  # four deviations


def network_input(image: np.ndarray, factor: float) -> np.ndarray:
    """A BGR picture (H, W, 3) resized by `factor` and padded right and below to multiples of 8 -> float32 (3, h, w) in [-0.5, 0.5].

    Differs from the published code: the long side is at most `LONGEST`, the short one at least 1.
    """
    height, width = image.shape[:2]
    factor = min(factor, LONGEST / max(height, width))
    small = cv2.resize(image, None, fx=max(factor, 1 / width), fy=max(factor, 1 / height), interpolation=cv2.INTER_CUBIC)
    padding = [(0, -side % STRIDE) for side in small.shape[:2]]
    padded = np.pad(small, [*padding, (0, 0)], constant_values=GREY)
    return padded.transpose(2, 0, 1).astype(np.float32) / 256 - 0.5


def full_size(maps: torch.Tensor, factor: float, height: int, width: int) -> np.ndarray:
    """Maps of one picture, (C, h / 8, w / 8) -> float32 (C, H, W); the padding of `network_input` is cut off."""
    factor = min(factor, LONGEST / max(height, width))
    small_h, small_w = (max(1, round(side * factor)) for side in (height, width))
    full = np.empty((len(maps), height, width), np.float32)
    for coarse, out in zip(maps.cpu().numpy(), full, strict=True):
        small = cv2.resize(coarse, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)[:small_h, :small_w]
        out[:] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return full


def smooth(heat: np.ndarray) -> np.ndarray:
    """Gaussian blur of one map, float32 (H, W); borders are mirrored."""
    kernel = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return cv2.sepFilter2D(heat, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
