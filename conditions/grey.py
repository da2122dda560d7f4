"""Conditions that are one grey picture, shown to the branch as three equal channels."""

import numpy as np

from conditions.base import Condition, Layers
from core.imaging.images import read_grey, to_uint8


class GreyPicture(Condition):
    """A picture whose brightness is the condition."""

    def read(self, path):
        """One smooth layer, (H, W, 1), and no classes."""
        grey = read_grey(path)[..., None]  # (H, W, 1)
        return Layers(grey, grey[..., :0])

    def to_hint(self, layers):
        """The layer three times, (H, W, 3); copied last, so that views work on one channel."""
        return np.repeat(layers.smooth, 3, axis=2)

    def pictures(self, branch, hint):
        """The picture itself, uint8 (H, W)."""
        return {branch: to_uint8(hint[..., 0])}


class Edge(GreyPicture):
    """Edge maps, bright on black; colours become their luma."""

    name = "edge"
    folder_option = "edge_path"

    def read(self, path):
        """Read as `GreyPicture.read`; raises ValueError for edges that are stored as 0 and 1."""
        layers = super().read(path)
        brightest = layers.smooth.max()
        if 0 < brightest < 1.5 / 255:  # stored as 0 and 1: an all but black hint
            raise ValueError(
                f"{path}: the brightest edge is 1 of 255. "
                "Store edges as 0..255: multiply the picture by 255."
            )
        return layers


class Depth(GreyPicture):
    """Depth maps, the nearer the brighter."""

    name = "depth"
