"""Input of a pose machine from a picture, and its coarse maps brought back to pixels."""

import cv2
import numpy as np
import torch
from einops import rearrange

STRIDE = 8  # pixels of the network's input per pixel of its maps
GREY = 128  # fills the padding
LONGEST = 4096  # pixels; very elongated pictures shrink until they fit
# Cells of the maps, along an axis, that a pixel depends on. Cubic resizing reads four pixels of the
# network's input, which lie within one cell; each of these was made from four cells.
CELLS = 5
SIGMA = 3.0  # deviation, in pixels, of the blur before peaks are looked for
RADIUS = 12  # four deviations


def network_input(image: np.ndarray, factor: float) -> np.ndarray:
    """A picture as a pose machine takes it: float32 (3, h, w) in [-0.5, 0.5].

    It is resized and padded right and below to multiples of 8.

    Differs from the published code: the long side is at most `LONGEST`, the short one at least 1.

    Args:
        image: uint8 BGR (H, W, 3).
        factor: of both sides.
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
    padded = np.pad(small, [*padding, (0, 0)], constant_values=GREY)  # (h, w, 3)
    return rearrange(padded, "h w c -> c h w").astype(np.float32) / 256 - 0.5


def small_size(factor: float, height: int, width: int) -> tuple[int, int]:
    """Height and width to which `network_input` resizes a picture, before the padding."""
    factor = min(factor, LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def full_size(maps: torch.Tensor, factor: float, height: int, width: int) -> np.ndarray:
    """Maps of one picture at its full size, float32 (C, H, W).

    Args:
        maps: (C, h / 8, w / 8); the padding of `network_input` is cut off.
        factor: as in `network_input`.
        height, width: of the picture in pixels.
    """
    small_h, small_w = small_size(factor, height, width)
    full = np.empty((len(maps), height, width), np.float32)
    for coarse, out in zip(maps.cpu().numpy(), full, strict=True):
        small = cv2.resize(coarse, None, fx=STRIDE, fy=STRIDE, interpolation=cv2.INTER_CUBIC)
        small = small[:small_h, :small_w]  # without the padding
        out[:] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return full


class Sampler:
    """Single pixels of what `full_size` returns, without making whole maps.

    This works because resizing is linear and treats the two axes one after the other: a pixel is a
    weighted sum of a few cells of the coarse maps.
    """

    def __init__(self, maps: torch.Tensor, factor: float, height: int, width: int):
        """Arguments as those of `full_size`."""
        self.maps = maps.cpu().numpy()
        sides = zip(
            self.maps.shape[1:], small_size(factor, height, width), (height, width), strict=True
        )
        self.rows, self.columns = (self.cells(*side) for side in sides)

    @staticmethod
    def cells(coarse: int, small: int, full: int) -> tuple[np.ndarray, np.ndarray]:
        """Cells of the maps that each pixel along an axis depends on, and their weights.

        Args:
            coarse: cells of the maps along the axis.
            small: pixels of the network's input, without the padding.
            full: pixels of the picture.
        Returns:
            indices, int64 (full, 5), and weights, float32 (full, 5).
        """
        # Resizing the unit matrix gives the weights: row i says what pixel i is made of.
        unit = np.eye(coarse, dtype=np.float32)
        matrix = cv2.resize(unit, None, fx=1, fy=STRIDE, interpolation=cv2.INTER_CUBIC)[:small]
        matrix = cv2.resize(matrix, (coarse, full), interpolation=cv2.INTER_CUBIC)  # (full, coarse)
        count = min(CELLS, coarse)
        # The window of cells begins at the first weight that is not 0, and ends inside the map.
        first = np.minimum((matrix != 0).argmax(axis=1), coarse - count)  # (full,)
        places = first[:, None] + np.arange(count)  # (full, count)
        return places, np.take_along_axis(matrix, places, axis=1)

    def __call__(self, channels: slice, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values of some maps at whole pixels, float32 (channels, *shape).

        Args:
            channels: of the maps.
            y, x: int64, both of the same `shape`.
        """
        (rows, row_weights), (columns, column_weights) = self.rows, self.columns
        # Broadcasting pairs every row with every column: (*shape, 5, 1) and (*shape, 1, 5).
        y_cells, x_cells = rows[y][..., :, None], columns[x][..., None, :]
        around = self.maps[channels, y_cells, x_cells]  # (channels, *shape, 5, 5)
        return np.einsum("c...ij,...i,...j->c...", around, row_weights[y], column_weights[x])


def smooth(heat: np.ndarray) -> np.ndarray:
    """Gaussian blur of one map, float32 (H, W); borders are mirrored."""
    kernel = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return cv2.sepFilter2D(heat, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
