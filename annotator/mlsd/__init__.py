"""Straight lines by M-LSD (Gu et al. 2022)."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from annotator.detector import DrawMaps
from annotator.mlsd.network import MLSDNetwork
from annotator.network_detectors import MLSD_WEIGHTS, MLSDOptions
from annotator.networks import load_network, pad_to_multiple, to_tensor

SIZE_MULTIPLE = 16  # pixels; the largest stride in the network
MAX_LINES = 200  # candidates per picture
STRIDE = 2  # pixels of the picture per pixel of the maps


def decode_lines(maps: torch.Tensor, thr_v: float, thr_d: float) -> np.ndarray:
    """Lines of one picture, the most probable first.

    Args:
        maps: of `MLSDNetwork.forward`, float32 (9, H / 2, W / 2); the first five channels count.
        thr_v: least probability of a line's centre.
        thr_d: least distance of its ends, in pixels of the maps.
    Returns:
        float32 (lines, 4): x and y of start and end in pixels of the picture.
    """
    p = maps[0].sigmoid()  # (h, w)
    # Of neighbouring centres only the highest counts.
    p = torch.where(p == F.max_pool2d(p[None], 3, stride=1, padding=1)[0], p, 0)
    # Differs from the published code: maps below 200 pixels and maps without lines are no errors,
    # and errors are not drawn as black.
    scores, index = p.flatten().topk(min(MAX_LINES, p.numel()))  # (lines,), highest first
    centre = torch.stack([index % p.shape[1], index // p.shape[1]])  # (x and y, lines)
    displacement = maps[1:5].flatten(1)[:, index]  # (x and y to the start, to the end; lines)
    start, end = centre + displacement[:2], centre + displacement[2:]  # (2, lines) each
    keep = (scores > thr_v) & ((start - end).norm(dim=0) > thr_d)
    return (torch.cat([start, end])[:, keep].T * STRIDE).cpu().numpy()  # (kept lines, 4)


def draw_lines(lines: np.ndarray, height: int, width: int) -> np.ndarray:
    """White lines, one pixel wide, on black: uint8 (H, W); ends are truncated to whole pixels."""
    canvas = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in lines.astype(int).tolist():
        cv2.line(canvas, (x1, y1), (x2, y2), 255, 1)
    return canvas


class MLSDdetector:
    """Straight lines as a binary picture."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """Load the network; `weights` as in `annotator.weights.find_checkpoint`."""
        self.device = device
        self.network = load_network(MLSDNetwork, MLSD_WEIGHTS, weights, device)

    def __call__(self, img: np.ndarray, thr_v: float = 0.1, thr_d: float = 0.1) -> np.ndarray:
        """Lines as uint8 (H, W), 0 or 255; thresholds as in `decode_lines`.

        Args:
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA.
        """
        return self.detect([img], thr_v, thr_d)[0]

    @torch.inference_mode()
    def detect(
        self, images: list[np.ndarray], thr_v: float = 0.1, thr_d: float = 0.1
    ) -> list[np.ndarray]:
        """Lines, as `__call__` gives them, of pictures of one size in one batch."""
        x = to_tensor(images, self.device)  # (N, 3, H, W)
        height, width = x.shape[2:]
        # The fourth channel is 1 before the scaling, as in the published code.
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1) / 127.5 - 1  # (N, 4, H, W)
        # Differs from the published code: sizes that 16 does not divide are padded, not refused.
        maps = self.network(pad_to_multiple(x, SIZE_MULTIPLE))  # (N, 9, H' / 2, W' / 2)
        # Lines that end in the padding are cut off where they are drawn.
        return [draw_lines(decode_lines(m, thr_v, thr_d), height, width) for m in maps]


def make(options: MLSDOptions, weights: str | Path | None, device: str | torch.device) -> DrawMaps:
    """A function that draws the straight lines of pictures."""
    detect = MLSDdetector(weights, device).detect
    return partial(detect, thr_v=options.mlsd_thr_v, thr_d=options.mlsd_thr_d)
