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
    """Maps of one picture, (C, h / 8, w / 8) -> float32 (H, W, C); the padding of `network_input` is cut off."""
    factor = min(factor, LONGEST / max(height, width))
    small_h, small_w = (max(1, round(side * factor)) for side in (height, width))
    maps = np.ascontiguousarray(maps.permute(1, 2, 0).cpu().numpy())
    maps = cv2.resize(maps, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)[:small_h, :small_w]
    return cv2.resize(maps, (width, height), interpolation=cv2.INTER_CUBIC)


def smooth(heat: np.ndarray) -> np.ndarray:
    """Gaussian blur of float32 (H, W, C) in each channel; borders are mirrored."""
    kernel = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    blurred = cv2.sepFilter2D(heat, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
    return blurred.reshape(heat.shape)
