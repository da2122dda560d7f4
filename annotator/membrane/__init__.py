"""Membranes of electron micrographs: dark lines of a known width.

They are found by a ridge filter (Sato et al. 1998) as scikit-image computes it.
"""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import skimage  # loads its parts at their first use, which spares other detectors 1.5 seconds

from annotator.detector import EDGES, Detector, DrawMaps, draw_one_by_one
from annotator.util import HWC3
from core.command_line.options import non_negative_float, non_negative_int, option, positive_float
from core.imaging.thresholds import check_thresholds

# Chosen for the best F score on sections of neural tissue at 4.6 nm per pixel, where membranes are
# about 6 pixels wide.
SCALE, LOW, HIGH, MIN_LENGTH = 4.0, 0.35, 0.7, 30


def ridge_strength(img: np.ndarray, scale: float) -> np.ndarray:
    """Strength of dark lines at each pixel, float64 (H, W), at least 0.

    It is `scale`^2 times the larger second derivative of the picture after a Gaussian blur, in
    standard deviations of its grey levels. Brightness and contrast thus do not matter.

    Args:
        img: uint8, (H, W) or (H, W, C) as `HWC3` takes it.
        scale: deviation of the blur in pixels.
    """
    grey = cv2.cvtColor(HWC3(img), cv2.COLOR_RGB2GRAY).astype(np.float64)  # (H, W)
    # A deviation below one grey level is noise; dividing by it would make lines of the noise.
    normalised = (grey - grey.mean()) / max(grey.std(), 1)
    # A second derivative falls with scale^2. scikit-image multiplies by that, so thresholds fit
    # all scales.
    return skimage.filters.sato(normalised, sigmas=[scale], black_ridges=True)


def thin_lines(strength: np.ndarray, low: float, high: float, min_length: int) -> np.ndarray:
    """Middle lines, one pixel wide, of regions of high strength: uint8 (H, W), 0 or 255.

    Args:
        strength: as `ridge_strength` gives it.
        low, high: a region lies above `low` and reaches `high` somewhere.
        min_length: pixels of a connected line; shorter ones are left out.
    """
    # Two thresholds, as Canny has them: faint stretches of a membrane hold on to strong ones.
    regions = skimage.filters.apply_hysteresis_threshold(strength, low, high)  # (H, W)
    lines = skimage.morphology.skeletonize(regions).astype(np.uint8)  # (H, W)
    # Eight neighbours: lines one pixel wide go on over corners.
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    # The area of a line one pixel wide is its length.
    is_long = statistics[:, cv2.CC_STAT_AREA] >= min_length  # (components,)
    is_long[0] = False  # component 0 is the background
    return np.where(is_long[labels], 255, 0).astype(np.uint8)  # (H, W)


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
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA.
            scale: deviation of the blur in pixels, about two thirds of a membrane's width.
            low, high, min_length: as in `thin_lines`.
        """
        return thin_lines(ridge_strength(img, scale), low, high, min_length)


@dataclass(frozen=True)
class MembraneOptions:
    """Scale and thresholds of the ridge filter, see `MembraneDetector`."""

    membrane_scale: float = option(
        SCALE,
        positive_float,
        "PIXELS",
        "deviation of the blur, about two thirds of a membrane's width",
    )
    membrane_low: float = option(
        LOW, non_negative_float, "FLOAT", "ridge strength where a line ends"
    )
    membrane_high: float = option(
        HIGH, non_negative_float, "FLOAT", "ridge strength where a line starts"
    )
    membrane_min_length: int = option(
        MIN_LENGTH, non_negative_int, "PIXELS", "shorter lines are left out"
    )

    def check(self):
        """Raise OptionError where the thresholds are the wrong way round."""
        check_thresholds("membrane_low", self.membrane_low, self.membrane_high)


def make(options: MembraneOptions) -> DrawMaps:
    """A function that draws the membranes of pictures with these settings."""
    settings = {
        "scale": options.membrane_scale,
        "low": options.membrane_low,
        "high": options.membrane_high,
        "min_length": options.membrane_min_length,
    }
    return partial(draw_one_by_one, partial(MembraneDetector(), **settings))


DETECTOR = Detector("membrane", MembraneOptions, EDGES, make)
