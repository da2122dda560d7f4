"""Edges by the method of Canny 1986, as OpenCV computes it: aperture 3, L1 norm of the gradient."""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from annotator.detector import EDGES, Detector, DrawMaps, draw_one_by_one
from annotator.util import HWC3
from core.command_line.options import non_negative_float, option
from core.imaging.thresholds import CANNY_HIGH, CANNY_LOW, check_thresholds


class CannyDetector:
    """Thin binary edges; needs no weights."""

    def __call__(
        self,
        img: np.ndarray,
        low_threshold: float = CANNY_LOW,
        high_threshold: float = CANNY_HIGH,
    ) -> np.ndarray:
        """Edges as uint8 (H, W), 0 or 255.

        Colours are not made grey: at each pixel the channel with the steepest gradient counts.

        Args:
            img: uint8 RGB (H, W, 3), or grey or RGBA.
            low_threshold, high_threshold: see `core.imaging.thresholds`.
        """
        # Three equal channels have the gradients of the grey picture, so nothing is lost.
        rgb = HWC3(img)  # (H, W, 3)
        # OpenCV's defaults are the published settings: aperture 3, no L2gradient.
        return cv2.Canny(rgb, low_threshold, high_threshold)  # (H, W)


@dataclass(frozen=True)
class CannyOptions:
    """Thresholds on the gradient, see `CannyDetector`."""

    canny_low: float = option(
        float(CANNY_LOW), non_negative_float, "FLOAT", "threshold where an edge ends"
    )
    canny_high: float = option(
        float(CANNY_HIGH), non_negative_float, "FLOAT", "threshold where an edge starts"
    )

    def check(self):
        """Raise OptionError where the thresholds are the wrong way round."""
        check_thresholds("canny_low", self.canny_low, self.canny_high)


def make(options: CannyOptions) -> DrawMaps:
    """A function that draws Canny's edges of pictures with these thresholds."""
    thresholds = {"low_threshold": options.canny_low, "high_threshold": options.canny_high}
    # Partials, unlike closures, can be pickled, which worker processes need.
    return partial(draw_one_by_one, partial(CannyDetector(), **thresholds))


DETECTOR = Detector("canny", CannyOptions, EDGES, make)
