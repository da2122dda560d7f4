"""Soft edges by holistically-nested edge detection (Xie & Tu 2015), and scribbles made of them."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from annotator.detector import DrawMaps
from annotator.hed.network import HEDNetwork
from annotator.network_detectors import HED_WEIGHTS, HEDOptions
from annotator.networks import load_network, to_tensor

MIN_SIDE = 16  # pixels per side that the five blocks need
# Three pixels in a row: horizontal, vertical and the two diagonals.
LINES = [np.array(rows, np.uint8) for rows in (
    [[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 0], [0, 1, 0]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
)]  # fmt: skip


def fuse(side_maps: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Edge probability, uint8 (H, W), by the mean of the logits at all scales.

    Args:
        side_maps: logits of one picture, each float32 (h, w).
        height, width: of the picture in pixels.
    """
    full = [
        cv2.resize(side_map, (width, height), interpolation=cv2.INTER_LINEAR)
        for side_map in side_maps
    ]  # each (H, W)
    # The mean of logits, not of probabilities: one scale that is sure outweighs the others.
    # float64 as published: truncation would turn an error of the last bit into a grey level.
    logits = np.mean(full, axis=0).astype(np.float64)  # (H, W)
    edge = 1 / (1 + np.exp(-logits))  # sigmoid
    # Truncated, not rounded, as in the published code: models were trained on such maps.
    return (edge * 255).clip(0, 255).astype(np.uint8)


def nms(x: np.ndarray, t: float, s: float) -> np.ndarray:
    """Crests of a soft edge map after a blur.

    A pixel is on a crest if it is the highest of three along at least one of four directions.

    Args:
        x: uint8 (H, W).
        t: threshold on the blurred map, 0..255.
        s: deviation of the blur in pixels.
    Returns:
        uint8 (H, W), 0 or 255.
    """
    # With a kernel size of (0, 0) OpenCV takes the one that fits the deviation.
    x = cv2.GaussianBlur(x.astype(np.float32), (0, 0), s)
    # Dilation is the maximum over a line: a pixel that equals it is the highest there.
    crest = np.any([cv2.dilate(x, kernel=line) == x for line in LINES], axis=0)  # (H, W)
    return np.where(crest & (x > t), 255, 0).astype(np.uint8)


def fake_scribble(edge: np.ndarray) -> np.ndarray:
    """Bold strokes along the edges of a soft edge map, as a user might scribble them.

    Args:
        edge: uint8 (H, W).
    Returns:
        uint8 (H, W), 0 or 255.
    """
    crests = cv2.GaussianBlur(nms(edge, 127, 3.0), (0, 0), 3.0)  # values as published
    # The blur spreads a crest to both sides. All that it still reaches belongs to the stroke.
    return np.where(crests > 4, 255, 0).astype(np.uint8)


class HEDdetector:
    """Soft edges by a network that learned from outlines that people drew."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """Load the network; `weights` as in `annotator.weights.find_checkpoint`."""
        self.device = device
        self.network = load_network(HEDNetwork, HED_WEIGHTS, weights, device)

    def __call__(self, img: np.ndarray) -> np.ndarray:
        """Edge strength as uint8 (H, W).

        Args:
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA.
        """
        return self.detect([img])[0]

    @torch.inference_mode()
    def detect(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Edge strengths, each as `__call__` gives it, of pictures of one size in one batch."""
        x = to_tensor(images, self.device)  # (N, 3, H, W)
        height, width = x.shape[2:]
        # Differs from the published code: pictures below 16 pixels are padded, not refused.
        x = F.pad(x, (0, max(MIN_SIDE - width, 0), 0, max(MIN_SIDE - height, 0)), mode="replicate")
        side_maps = [side_map[:, 0].cpu().numpy() for side_map in self.network(x)]  # (N, h, w)
        # zip turns five maps of N pictures into N times the five maps of one picture.
        return [fuse(maps, *x.shape[2:])[:height, :width] for maps in zip(*side_maps, strict=True)]


def draw_scribbles(detector: HEDdetector, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Scribbles along the edges of pictures of one size."""
    return [fake_scribble(edge) for edge in detector.detect(pictures)]


def make(options: HEDOptions, weights: str | Path | None, device: str | torch.device) -> DrawMaps:
    """A function that draws soft edges or scribbles of pictures."""
    detector = HEDdetector(weights, device)
    return partial(draw_scribbles, detector) if options.hed_scribble else detector.detect
