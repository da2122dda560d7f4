"""Soft edges by holistically-nested edge detection (Xie & Tu 2015), and scribbles made of them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from annotator.hed.network import HEDNetwork
from annotator.networks import load_network, published, to_tensor

WEIGHTS = published("ControlNetHED.pth", "Annotators/resolve/main", licence="Apache-2.0")
SMALLEST = 16  # pixels per side that the five blocks need
# Three pixels in a row: horizontal, vertical and the two diagonals.
LINES = [np.array(rows, np.uint8) for rows in (
    [[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 0], [0, 1, 0]],
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
)]  # fmt: skip


def fuse(side_maps: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Logits at several scales, float32 (h, w) -> their mean at full size as a probability, uint8 (H, W)."""
    full = [
        cv2.resize(side_map, (width, height), interpolation=cv2.INTER_LINEAR)
        for side_map in side_maps
    ]
    edge = 1 / (1 + np.exp(-np.mean(full, axis=0).astype(np.float64)))
    return (edge * 255).clip(0, 255).astype(np.uint8)


def nms(x: np.ndarray, t: float, s: float) -> np.ndarray:
    """Crests of a soft edge map: pixels that are highest along at least one of four directions after a blur.

    Args:
        x: uint8 (H, W).
        t: threshold on the blurred map, 0..255.
        s: deviation of the blur in pixels.
    Returns:
        uint8 (H, W), 0 or 255.
    """
    x = cv2.GaussianBlur(x.astype(np.float32), (0, 0), s)
    crest = np.any([cv2.dilate(x, kernel=line) == x for line in LINES], axis=0)
    return np.where(crest & (x > t), 255, 0).astype(np.uint8)


def fake_scribble(edge: np.ndarray) -> np.ndarray:
    """Bold strokes along the edges of a soft edge map, uint8 (H, W), 0 or 255: what a user might scribble."""
    crests = cv2.GaussianBlur(nms(edge, 127, 3.0), (0, 0), 3.0)
    return np.where(crests > 4, 255, 0).astype(np.uint8)


class HEDdetector:
    """Soft edges of a network that learned from people's drawings of outlines."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """`weights`: file, or folder that holds it; otherwise looked for and downloaded, see `annotator.networks`."""
        self.device = device
        self.network = load_network(HEDNetwork, WEIGHTS, weights, device)

    def __call__(self, img: np.ndarray) -> np.ndarray:
        """Edge strength as uint8 (H, W), of a uint8 RGB picture (H, W, 3) of any size; grey and RGBA are taken too."""
        return self.detect([img])[0]

    @torch.inference_mode()
    def detect(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """As `__call__`, of pictures of one size together."""
        x = to_tensor(images, self.device)
        height, width = x.shape[2:]
        # Differs from the published code: pictures below 16 pixels are padded, not refused.
        x = F.pad(x, (0, max(SMALLEST - width, 0), 0, max(SMALLEST - height, 0)), mode="replicate")
        side_maps = [side_map[:, 0].cpu().numpy() for side_map in self.network(x)]
        return [fuse(maps, *x.shape[2:])[:height, :width] for maps in zip(*side_maps, strict=True)]
