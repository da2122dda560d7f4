"""Segmentation of photographs by UniFormer-S (Li et al. 2022).

Its 150 classes are those of ADE20K (Zhou et al. 2017).
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from annotator.detector import DrawMaps
from annotator.network_detectors import UNIFORMER_WEIGHTS, UniformerOptions
from annotator.networks import load_network, to_tensor
from annotator.uniformer.network import UNUSED, UniformerNetwork
from annotator.util import HWC3

PALETTE = Path(__file__).parent / "ade20k_palette.json"
SHORT_SIDE, LONG_SIDE = 512, 2048  # pixels; the network sees as much as fits into both
MIN_SIDE = 32  # pixels per side that its strides need
# Of ImageNet's pixels in 0..255, in the order R, G, B.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def read_palette() -> tuple[list[str], np.ndarray]:
    """Names and colours of the classes; colours are RGB, uint8 (150, 3).

    Classes 6 and 48 share a colour, so a class cannot be told from its colour.
    """
    table = json.loads(PALETTE.read_text())
    return table["classes"], np.array(table["palette"], np.uint8)


def network_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the network sees a picture; small pictures grow.

    Differs from the published code: no side falls below 32, however elongated the picture is.
    """
    factor = min(LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
    # + 0.5 rounds halves up, as mmcv does; `round` would take them to the even number.
    return max(int(height * factor + 0.5), MIN_SIDE), max(int(width * factor + 0.5), MIN_SIDE)


def most_likely(logits: torch.Tensor, sizes: list[tuple[int, int]]) -> torch.Tensor:
    """Index of the largest logit of every pixel, uint8 (N, H, W); of equal ones the first.

    Classes are resized one at a time. All of them together would take 150 floats per pixel, and
    more time.

    Args:
        logits: (N, C, h, w) with C <= 256.
        sizes: heights and widths that the logits are resized to, one after the other.
    """
    highest = logits.new_full((len(logits), 1, *sizes[-1]), -torch.inf)
    labels = torch.zeros_like(highest, dtype=torch.uint8)
    for label, plane in enumerate(logits.split(1, dim=1)):  # (N, 1, h, w)
        for size in sizes:
            if plane.shape[2:] != size:
                plane = F.interpolate(plane, size, mode="bilinear", align_corners=False)
        # Only a strictly larger logit replaces a label, so that of equal ones the first stays.
        labels.masked_fill_(plane > highest, label)
        highest = torch.maximum(highest, plane)
    return labels[:, 0]  # (N, H, W)


class UniformerDetector:
    """Find the class of every pixel, as an index or a colour."""

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        swap_channels: bool = True,
    ):
        """Load the network.

        Args:
            weights: as in `annotator.weights.find_checkpoint`.
            swap_channels: show the network B, G, R as the published code does, although it learned
                from R, G, B.
        """
        self.device = device
        self.swap_channels = swap_channels
        self.network = load_network(UniformerNetwork, UNIFORMER_WEIGHTS, weights, device, UNUSED)
        self.classes, self.palette = read_palette()

    def __call__(self, img: np.ndarray) -> np.ndarray:
        """Colours of the classes, uint8 RGB (H, W, 3).

        Args:
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA.
        """
        return self.detect([img])[0]

    def detect(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Colours, as `__call__` gives them, of pictures of one size in one batch."""
        return list(self.palette[self.labels(images)])  # N times (H, W, 3)

    @torch.inference_mode()
    def labels(self, images: list[np.ndarray]) -> np.ndarray:
        """Class indices 0..149, uint8 (N, H, W), of pictures of one size."""
        size = images[0].shape[:2]
        height, width = network_size(*size)
        resized = [
            cv2.resize(HWC3(image), (width, height), interpolation=cv2.INTER_LINEAR)
            for image in images
        ]
        x = to_tensor(resized, self.device)  # (N, 3, h, w)
        # MEAN and STD stay in the order R, G, B when the channels are swapped, as published.
        x = x.flip(1) if self.swap_channels else x
        mean, std = (
            torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD)
        )
        logits = self.network((x - mean) / std)  # (N, 150, h // 4, w // 4)
        # As published, logits take the network's input size first and then the picture's.
        return most_likely(logits, [(height, width), size]).cpu().numpy()  # (N, H, W)


def make(
    options: UniformerOptions, weights: str | Path | None, device: str | torch.device
) -> DrawMaps:
    """A function that draws the classes of pictures in their colours."""
    return UniformerDetector(weights, device, options.uniformer_swap_channels).detect
