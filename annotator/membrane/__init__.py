"""Membranes of electron micrographs: dark lines of a known width, by a ridge filter (Sato et al. 1998) as scikit-image computes it."""

import cv2
import numpy as np
from skimage.filters import apply_hysteresis_threshold, sato
from skimage.morphology import skeletonize

from annotator.util import HWC3

# Tuned by benchmarks/membrane_fscore.py on sections of neural tissue of 4.6 nm per pixel, whose membranes are about 6 pixels wide.
SCALE, LOW, HIGH, MIN_LENGTH = 4.0, 0.35, 0.7, 30


def ridge_strength(img: np.ndarray, scale: float) -> np.ndarray:
    """How much each pixel looks like the middle of a dark line, float64 (H, W), at least 0; brightness and contrast do not matter.

    It is `scale`^2 times the larger second derivative of the picture after a Gaussian blur, in standard deviations of its grey levels.

    Args:
        img: uint8, (H, W) or (H, W, C) as `HWC3` takes it.
        scale: deviation of the blur in pixels.
    """
    grey = cv2.cvtColor(HWC3(img), cv2.COLOR_RGB2GRAY).astype(np.float64)
    return sato(
        (grey - grey.mean()) / max(grey.std(), 1), sigmas=[scale], black_ridges=True
    )  # 1: noise of one level is no line


def thin_lines(strength: np.ndarray, low: float, high: float, min_length: int) -> np.ndarray:
    """Middle lines, one pixel wide, of the regions above `low` that reach `high` somewhere: uint8 (H, W), 0 or 255."""
    lines = skeletonize(apply_hysteresis_threshold(strength, low, high)).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    long_enough = statistics[:, cv2.CC_STAT_AREA] >= min_length
    long_enough[0] = False  # the background
    return np.where(long_enough[labels], 255, 0).astype(np.uint8)


class MembraneDetector:
    """Thin lines along membranes; needs no weights."""

    def __call__(
        self,
        img: np.ndarray,
        scale: float = SCALE,
        low: float = LOW,
        high: float = HIGH,
        min_length: int = MIN_LENGTH,
    ) -> np.ndarray:
        """Lines as uint8 (H, W), 0 or 255.

        Args:
            img: uint8 RGB (H, W, 3) of any size; grey and RGBA are taken too.
            scale: deviation of the blur in pixels, about two thirds of a membrane's width.
            low, high: on `ridge_strength`; a line starts above the higher one and goes on above the lower one.
            min_length: pixels of a connected line; shorter ones are left out.
        """
        return thin_lines(ridge_strength(img, scale), low, high, min_length)
