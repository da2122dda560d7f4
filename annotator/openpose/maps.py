"""From a picture to what a pose machine takes, and from its coarse maps back to pixels."""

import cv2
import numpy as np
import torch

STRIDE = 8  # pixels of the network's input per pixel of its maps
GREY = 128  # fills the padding
LONGEST = 4096  # pixels; very elongated pictures shrink until they fit
CELLS = 5  # of the maps, along an axis, between which a pixel lies: four pixels of the input, closer than a cell, of four cells each
SIGMA = 3.0  # deviation, in pixels, of the blur before peaks are looked for
RADIUS = 12  # four deviations


def network_input(image: np.ndarray, factor: float) -> np.ndarray:
    """A BGR picture (H, W, 3) resized by `factor` and padded right and below to multiples of 8 -> float32 (3, h, w) in [-0.5, 0.5].

    Differs from the published code: the long side is at most `LONGEST`, the short one at least 1.
    """
    height, width = image.shape[:2]
    factor = min(factor, LONGEST / max(height, width))
    small = cv2.resize(
        image,
        None,
        fx=max(factor, 1 / width),
        fy=max(factor, 1 / height),
        interpolation=cv2.INTER_CUBIC,
    )
    padding = [(0, -side % STRIDE) for side in small.shape[:2]]
    padded = np.pad(small, [*padding, (0, 0)], constant_values=GREY)
    return padded.transpose(2, 0, 1).astype(np.float32) / 256 - 0.5


def small_size(factor: float, height: int, width: int) -> tuple[int, int]:
    """What `network_input` makes of a picture's height and width, before the padding."""
    factor = min(factor, LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def full_size(maps: torch.Tensor, factor: float, height: int, width: int) -> np.ndarray:
    """Maps of one picture, (C, h / 8, w / 8) -> float32 (C, H, W); the padding of `network_input` is cut off."""
    small_h, small_w = small_size(factor, height, width)
    full = np.empty((len(maps), height, width), np.float32)
    for coarse, out in zip(maps.cpu().numpy(), full, strict=True):
        small = cv2.resize(coarse, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)[
            :small_h, :small_w
        ]
        out[:] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return full


class Sampler:
    """Reads single pixels of what `full_size` would return, without making the whole maps: resizing is linear, along each axis apart."""

    def __init__(self, maps: torch.Tensor, factor: float, height: int, width: int):
        """Arguments as those of `full_size`."""
        self.maps = maps.cpu().numpy()
        sides = zip(
            self.maps.shape[1:], small_size(factor, height, width), (height, width), strict=True
        )
        self.rows, self.columns = (self.cells(*side) for side in sides)

    @staticmethod
    def cells(coarse: int, small: int, full: int) -> tuple[np.ndarray, np.ndarray]:
        """For every pixel along an axis of the picture: the cells of the maps it is made of, and their weights, both (full, 5)."""
        matrix = cv2.resize(
            np.eye(coarse, dtype=np.float32), None, fx=1, fy=STRIDE, interpolation=cv2.INTER_CUBIC
        )[:small]
        matrix = cv2.resize(matrix, (coarse, full), interpolation=cv2.INTER_CUBIC)  # (full, coarse)
        count = min(CELLS, coarse)
        first = np.minimum((matrix != 0).argmax(axis=1), coarse - count)
        places = first[:, None] + np.arange(count)
        return places, np.take_along_axis(matrix, places, axis=1)

    def __call__(self, channels: slice, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values of some maps at integer pixels: y and x of any one shape -> float32 (channels, *shape)."""
        (rows, row_weights), (columns, column_weights) = self.rows, self.columns
        around = self.maps[
            channels, rows[y][..., :, None], columns[x][..., None, :]
        ]  # (channels, *shape, 5, 5)
        return np.einsum("c...ij,...i,...j->c...", around, row_weights[y], column_weights[x])


def smooth(heat: np.ndarray) -> np.ndarray:
    """Gaussian blur of one map, float32 (H, W); borders are mirrored."""
    kernel = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return cv2.sepFilter2D(heat, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
