"""Views: random crops of a picture that are turned, mirrored and resized.

A layer is a float32 tensor (C, H, W). All layers of a sample are shown through the same view.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

RATIO = (3 / 4, 4 / 3)  # width : height of a random crop, as in Inception and torchvision


class View(NamedTuple):
    """A box in a picture, how it is turned, and how it is mirrored after that.

    Attributes:
        top, left, height, width: of the box, in pixels of the picture.
        angle: degrees by which the box's content turns counter-clockwise about its centre.
        flip_horizontal, flip_vertical: whether left and right, top and bottom change places.
    """

    top: int
    left: int
    height: int
    width: int
    angle: float
    flip_horizontal: bool
    flip_vertical: bool


def draw_view(
    height: int, width: int, scale: tuple[float, float], generator: torch.Generator
) -> View:
    """Draw a box anywhere in a picture of this size.

    Differs from torchvision's RandomResizedCrop, which takes the centre of pictures too elongated
    for `scale`: here the range ends at the largest box that fits, so the place stays random.

    Args:
        scale: smallest and largest share of the picture's area; the box's width : height is in
            `RATIO`.
    """
    draws = torch.rand(7, generator=generator, dtype=torch.float64).tolist()
    place_y, place_x, area, ratio, angle, horizontal, vertical = draws
    ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** ratio
    fits = min(height * height * ratio, width * width / ratio)
    low, high = (min(share * height * width, fits) for share in scale)
    area = low + (high - low) * area
    box_h = min(max(round(math.sqrt(area / ratio)), 1), height)
    box_w = min(max(round(math.sqrt(area * ratio)), 1), width)
    top, left = int(place_y * (height - box_h + 1)), int(place_x * (width - box_w + 1))
    return View(top, left, box_h, box_w, 360 * angle, horizontal < 0.5, vertical < 0.5)


def _read_box(layer: torch.Tensor, top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    """A copy of the box, (C, bottom - top, right - left).

    Where the box leaves the picture, the picture is mirrored at its border.
    """
    height, width = layer.shape[1:]
    beyond_y = max(-top, 0), max(bottom - height, 0)
    beyond_x = max(-left, 0), max(right - width, 0)
    inside = layer[:, max(top, 0) : bottom, max(left, 0) : right].numpy()
    # numpy, because torch refuses to mirror more than the picture's side
    return torch.from_numpy(np.pad(inside, ((0, 0), beyond_y, beyond_x), mode="reflect"))


def take_view(layer: torch.Tensor, view: View, size: int, smooth: bool) -> torch.Tensor:
    """Cut `view` out of a layer.

    The box is read with the margin that its rotation needs. It is mirrored only where that leaves
    the picture, so no corner is black.

    Args:
        layer: (C, H, W).
        size: side of the result in pixels.
        smooth: bilinear and antialiased; otherwise nearest neighbour, which keeps values as they
            are.
    Returns:
        (C, size, size).
    """
    # NEAREST samples the corner of a pixel, NEAREST_EXACT the centre.
    resize = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT
    rotate = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST
    # Detail that the result cannot show need not be rotated: 1.5 of its pixels are enough
    shrink = min(1.0, 1.5 * size / min(view.height, view.width))
    angle = math.radians(view.angle)
    # A turned rectangle (h, w) covers h |cos| + w |sin| rows; columns likewise
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    spare = math.ceil(2 / shrink)  # interpolation reads a pixel further, on both sides
    pad_y = spare + max(0, math.ceil((view.height * c + view.width * s - view.height) / 2))
    pad_x = spare + max(0, math.ceil((view.width * c + view.height * s - view.width) / 2))
    bottom, right = view.top + view.height, view.left + view.width
    box = (view.top - pad_y, view.left - pad_x, bottom + pad_y, right + pad_x)
    layer = _read_box(layer, *box)  # (C, height + 2 pad_y, width + 2 pad_x)
    if shrink < 1:
        sides = [round(side * shrink) for side in layer.shape[1:]]
        layer = F.resize(layer, sides, resize, antialias=smooth)
    # The corners that a rotation leaves black lie in the margin, which the crop removes
    layer = F.rotate(layer, view.angle, rotate)
    layer = F.center_crop(layer, [round(view.height * shrink), round(view.width * shrink)])
    layer = F.resize(layer, [size, size], resize, antialias=smooth)  # (C, size, size)
    layer = F.horizontal_flip(layer) if view.flip_horizontal else layer
    return F.vertical_flip(layer) if view.flip_vertical else layer


def take_centre(layer: torch.Tensor, size: int, smooth: bool) -> torch.Tensor:
    """The central (C, size, size) of a layer at native resolution.

    A smaller picture is first enlarged until its shorter side is `size`.
    """
    height, width = layer.shape[1:]
    if min(height, width) < size:
        factor = size / min(height, width)
        sides = [max(size, round(height * factor)), max(size, round(width * factor))]
        resize = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT
        layer = F.resize(layer, sides, resize, antialias=smooth)
    return F.center_crop(layer, [size, size])
