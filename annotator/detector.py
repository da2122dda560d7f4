"""Facts that a detector declares about itself, and the edges of one picture file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from core.fetching.downloads import WeightsFile
from core.imaging.images import read_grey, to_uint8
from core.imaging.resampling import Resampling

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import torch

# Pictures of one size, uint8 (H, W) or (H, W, 3) -> a map of each, uint8 (H, W) or (H, W, 3).
DrawMaps = Callable[[list[np.ndarray]], list[np.ndarray]]
EDGES = "edges"  # what a detector draws whose maps are edge maps: uint8 (H, W), 0..255


@dataclass(frozen=True)
class Detector:
    """One way to draw a map of a picture; `annotator.registry` lists all of them.

    Attributes:
        name: of the detector on the command line.
        options: frozen dataclass of `core.command_line.options.option` fields. A field has the
            full name of its command-line option, which begins with the detector's name.
        draws: `EDGES`, or for other kinds of maps a word for the help.
        make: function from filled options to a `DrawMaps`. It must be possible to pickle what it
            returns. If the detector has weights, `make` also takes their path, which may be None,
            and the device.
        weights: files that the detector always reads.
        weights_by_option: files that it reads when the switch of this name is on.
        interpolation: OpenCV's constant for bringing maps to another size. The default invents no
            values between lines and background, or between the colours of two classes.
    """

    name: str
    options: type
    draws: str
    make: Callable[..., DrawMaps]
    weights: tuple[WeightsFile, ...] = ()
    weights_by_option: Mapping[str, WeightsFile] = field(default_factory=dict)
    interpolation: int = cv2.INTER_NEAREST

    @property
    def option_names(self) -> tuple[str, ...]:
        """Names of the detector's options on the command line, without dashes."""
        return tuple(field.name for field in fields(self.options))

    @property
    def title(self) -> str:
        """Head of the detector's options in the help: its name and the licence of its weights."""
        # The main file speaks for all: OpenPose's two files have one licence.
        licence = self.weights[0].licence if self.weights else ""
        return f"{self.name} (licence of the weights: {licence})" if licence else self.name

    def build(
        self,
        options: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> DrawMaps:
        """The function that draws maps, with its weights loaded.

        Args:
            options: object of the class `self.options`.
            weights: file or folder, see `annotator.weights.find_checkpoint`.
            device: ignored, as `weights` is, by a detector without weights.
        Raises:
            FileNotFoundError, ValueError, RuntimeError: see `annotator.networks.load_network`.
        """
        # Without weights there is nothing to find and no device to choose.
        return self.make(options, weights, device) if self.weights else self.make(options)

    def weights_files(self, options: Any) -> tuple[WeightsFile, ...]:
        """Files of weights that the detector reads with these options, the main one first."""
        switched_on = (
            file for name, file in self.weights_by_option.items() if getattr(options, name)
        )
        return (*self.weights, *switched_on)


def draw_one_by_one(draw_map: Callable, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Maps by a function that takes one picture; `partial` of both makes a `DrawMaps`."""
    return [draw_map(picture) for picture in pictures]


def edges_of_file(
    path: str | Path, draw_maps: DrawMaps, resampling: Resampling | None = None
) -> np.ndarray:
    """Edge map of a picture file, uint8 (H, W), 0..255.

    The picture is made grey and rounded to 8 bits first. Colour pictures, and pictures of 16 bits,
    thus give the map of the grey 8-bit picture that they look like.

    Args:
        draw_maps: as `Detector.build` returns it, of a detector that draws `EDGES`.
        resampling: change of the picture's pixel size before that.
    Raises:
        FileNotFoundError, ValueError: see `core.imaging.images.read_image`.
    """
    grey = read_grey(path)  # (H, W)
    if resampling:
        grey = resampling.image(grey)
    return draw_maps([to_uint8(grey)])[0]  # (H, W)
