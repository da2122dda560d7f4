"""Resampling of pictures to another pixel size: areas of images, nearest pixels of labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from core.command_line.options import OptionError, option, positive_float
from core.imaging.known_sizes import VOLUME, pixel_size_of_folder


def pixel_size_option(what: str) -> Any:
    """A field of an options class: the side of a pixel that pictures are brought to."""
    return option(
        None, positive_float, "NM", f"resample {what} to pixels of this side as they are read"
    )


@dataclass(frozen=True)
class Resampling:
    """Factors by which the numbers of rows and columns grow; below 1, pictures shrink."""

    rows: float
    columns: float

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a picture of this size after resampling."""
        return max(1, round(height * self.rows)), max(1, round(width * self.columns))

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """Grey levels at the new size, float32 (H', W') or (H', W', C) like `pixels`.

        A pixel becomes the mean of the area that it covers where pictures shrink, and linearly
        interpolated where they grow.
        """
        (height, width), (new_height, new_width) = pixels.shape[:2], self.size_of(*pixels.shape[:2])
        layers = pixels.reshape(height, width, -1)  # (H, W, C), perhaps of no channel
        result = np.empty((new_height, new_width, layers.shape[2]), np.float32)
        for i in range(layers.shape[2]):  # OpenCV takes areas of four channels at most
            smaller = min(width, new_width), min(height, new_height)
            layer = cv2.resize(layers[..., i], smaller, interpolation=cv2.INTER_AREA)
            size = new_width, new_height
            result[..., i] = cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)
        return result.reshape(new_height, new_width, *pixels.shape[2:])

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Labels at the new size, (H', W') or (H', W', C) like `labels`: nearest ones."""
        height, width = labels.shape[:2]
        new_height, new_width = self.size_of(height, width)
        rows = ((np.arange(new_height) + 0.5) * height / new_height).astype(int)
        columns = ((np.arange(new_width) + 0.5) * width / new_width).astype(int)
        return labels[rows[:, None], columns]


def resampling_to(folder: Path, side: float | None) -> Resampling | None:
    """Change of the pictures of a folder to pixels of a side; None where nothing is to be done.

    Args:
        side: in nm; None keeps the pictures as they are.
    Raises:
        OptionError: the pixel size of the folder is unknown.
        FileNotFoundError, ValueError: as `pixel_size_of_folder`.
    """
    if side is None:
        return None
    own = pixel_size_of_folder(folder)
    if own is None:
        raise OptionError(
            "pixel_size",
            f"{folder} does not say how large its pixels are. Write it, in nm, to "
            f'{folder / VOLUME}: {{"pixel_size_nm": [HEIGHT, WIDTH]}}',
        )
    factors = Resampling(own.y / side, own.x / side)
    return None if factors == Resampling(1, 1) else factors
