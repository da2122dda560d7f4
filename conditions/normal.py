"""Surface normals: pixels hold directions, which turn when the picture turns."""

import math

import numpy as np
from einops import rearrange

from conditions.base import Condition, Layers
from core.imaging.images import read_image, to_uint8


class Normal(Condition):
    """Normals as colours: R, G, B hold z, y, x, each brought from [-1, 1] to [0, 1].

    x points right, y down, z to the viewer. The published code reversed the channels that its
    detector drew before it trained on them, hence the order.
    """

    name = "normal"

    def read(self, path):
        """One smooth layer, (H, W, 3), and no classes."""
        colours = read_image(path)
        return Layers(colours, colours[..., :0])

    def to_hint(self, layers):
        """The layer as it is; not brought back to length 1 where interpolation shortened it."""
        return layers.smooth

    def turn(self, hint, view):
        """Turn and mirror the directions like the surface: x and y rotate, then change sign.

        Three effects are left out:

        - A view stretches its box to a square. Sides of 3 : 4 change directions by up to 8.2
          degrees, arcsin((4/3 - 1) / (4/3 + 1)).
        - Interpolation makes normals shorter where they differ from pixel to pixel.
        - Where a view leaves the picture it shows a mirror image, whose normals are not mirrored.
        """
        z, y, x = rearrange(hint * 2 - 1, "h w zyx -> zyx h w")  # (h, w) each, in [-1, 1]
        # By the view's angle counter-clockwise; the signs of sin are those of an axis y that
        # points down: what pointed right, (1, 0), points up, (0, -1), after 90 degrees
        angle = math.radians(view.angle)
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        x, y = cos * x + sin * y, cos * y - sin * x
        # A view mirrors after it turned
        x = -x if view.flip_horizontal else x
        y = -y if view.flip_vertical else y
        return (np.stack([z, y, x], axis=2) / 2 + 0.5).clip(0, 1)  # (h, w, 3)

    def pictures(self, branch, hint):
        """The colours themselves, uint8 (H, W, 3)."""
        return {branch: to_uint8(hint)}
