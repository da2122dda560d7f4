"""Edges by the method of Canny 1986, as OpenCV computes it (aperture 3, L1 norm of the gradient)."""

from pathlib import Path

import cv2
import numpy as np

from annotator.util import HWC3
from core.images import read_grey


class CannyDetector:
    """Thin binary edges; needs no weights."""

    def __call__(
        self, img: np.ndarray, low_threshold: float = 100, high_threshold: float = 200
    ) -> np.ndarray:
        """Edges as uint8 (H, W), 0 or 255.

        Colours are not made grey: at each pixel the channel of the steepest gradient counts.

        Args:
            img: uint8 RGB (H, W, 3); grey and RGBA are taken too.
            low_threshold, high_threshold: on |dx| + |dy| of the 3 x 3 Sobel filters of grey levels 0..255; an edge starts above the
                higher one and goes on above the lower one.
        """
        return cv2.Canny(HWC3(img), low_threshold, high_threshold)


def edges_of_file(path: str | Path, low_threshold: float, high_threshold: float) -> np.ndarray:
    """The edge map of a picture, made grey first and rounded to 8 bits: uint8 (H, W), 0 or 255; raises like `read_image`."""
    grey = (read_grey(path) * 255).round().astype(np.uint8)
    return CannyDetector()(grey, low_threshold, high_threshold)
