"""Surface normals: each pixel holds a direction."""

import math

import numpy as np

from conditions.base import Condition, Layers
from core.images import read_image, to_uint8


class Normal(Condition):
    """Normals as colours: z, y, x in R, G, B, each from [-1, 1] to [0, 1]; x points right, y down.

    This is the channel order of the published hints.
    """

    name = "normal"

    def read(self, path):
        colours = read_image(path)
        return Layers(colours, colours[..., :0])

    def to_hint(self, layers):
        return layers.smooth

    def turn(self, hint, view):
        """A turned surface has turned normals: x and y rotate and change sign with the view."""
        z, y, x = np.moveaxis(hint * 2 - 1, 2, 0)
        angle = math.radians(view.angle)  # counter-clockwise as seen, and y points down
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        x, y = cos * x + sin * y, cos * y - sin * x
        x = -x if view.flip_horizontal else x
        y = -y if view.flip_vertical else y
        return (np.stack([z, y, x], axis=2) / 2 + 0.5).clip(0, 1)

    def pictures(self, branch, hint):
        return {branch: to_uint8(hint)}
