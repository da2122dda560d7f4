"""Depth from one picture (MiDaS, Ranftl et al. 2020, 2021), and the normals that follow from it."""

import math
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from annotator.detector import DrawMaps
from annotator.midas.network import UNUSED, DPTHybrid
from annotator.network_detectors import MIDAS_WEIGHTS, MidasOptions
from annotator.networks import load_network, pad_to_multiple, to_tensor

# Of the published class: `a` and `bg_th` of `depth_and_normal`. Options have those of the demo.
CLASS_A, CLASS_BG_TH = 2 * math.pi, 0.1
SIZE_MULTIPLE = 32  # pixels; the largest stride in the network


def depth_and_normal(d: np.ndarray, a: float, bg_th: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth picture and surface normals that follow from inverse depth.

    Normals are (dd/dx, dd/dy, a) by the 3 x 3 Sobel filters, scaled to length 1, then from [-1, 1]
    to 0..255. R, G, B hold x, y, z.

    Args:
        d: inverse depth, float32 (H, W).
        a: z of the normals before they are scaled; the smaller, the steeper the surface looks.
        bg_th: the surface faces the viewer where the depth, scaled to [0, 1], lies below this.
    Returns:
        depth, uint8 (H, W), and normals, uint8 (H, W, 3).
    """
    n = d - d.min()
    # Differs from the published code: a constant map has no depth, where 0 / 0 gave nan.
    n = n / max(n.max(), np.finfo(np.float32).tiny)
    depth = (n * 255).clip(0, 255).astype(np.uint8)
    # Gradients of `d` itself: its range, unlike that of `n`, is part of how steep a surface looks.
    gx, gy = cv2.Sobel(d, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(d, cv2.CV_32F, 0, 1, ksize=3)
    # The background is drawn flat: its depth is mostly noise, which gradients would show.
    gx[n < bg_th] = gy[n < bg_th] = 0
    normal = np.stack([gx, gy, np.full_like(gx, a)], axis=2)  # (H, W, 3)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return depth, (normal * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


class MidasDetector:
    """Inverse depth, larger is nearer, and normals."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """Load the network; `weights` as in `annotator.weights.find_checkpoint`."""
        self.device = device
        self.network = load_network(DPTHybrid, MIDAS_WEIGHTS, weights, device, UNUSED)

    def __call__(
        self, img: np.ndarray, a: float = CLASS_A, bg_th: float = CLASS_BG_TH
    ) -> tuple[np.ndarray, np.ndarray]:
        """Depth, uint8 (H, W), and normals, uint8 (H, W, 3), see `depth_and_normal`.

        Args:
            img: uint8 RGB (H, W, 3) of any size, or grey or RGBA. The network was trained on
                pictures of 384 pixels.
            a, bg_th: as in `depth_and_normal`.
        """
        return self.detect([img], a, bg_th)[0]

    @torch.inference_mode()
    def detect(
        self, images: list[np.ndarray], a: float = CLASS_A, bg_th: float = CLASS_BG_TH
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Depths and normals, as `__call__` gives them, of pictures of one size in one batch."""
        x = to_tensor(images, self.device) / 127.5 - 1  # (N, 3, H, W) in [-1, 1]
        height, width = x.shape[2:]
        # Differs from the published code: sizes that 32 does not divide are padded, not refused.
        maps = self.network(pad_to_multiple(x, SIZE_MULTIPLE))  # (N, H', W')
        # The padding goes first, so that it takes no part in the scaling to 0..255.
        maps = maps[:, :height, :width].cpu().numpy()  # (N, H, W)
        return [depth_and_normal(d, a, bg_th) for d in maps]


def draw_depths(
    detector: MidasDetector, options: MidasOptions, pictures: list[np.ndarray]
) -> list[np.ndarray]:
    """Depth of pictures of one size, each uint8 (H, W)."""
    results = detector.detect(pictures, a=options.midas_a, bg_th=options.midas_bg_th)
    return [depth for depth, _ in results]


def draw_normals(
    detector: MidasDetector, options: MidasOptions, pictures: list[np.ndarray]
) -> list[np.ndarray]:
    """Normals of pictures of one size, each uint8 (H, W, 3) in the order z, y, x."""
    results = detector.detect(pictures, a=options.midas_a, bg_th=options.midas_bg_th)
    # The published code reversed the channels before it trained on them.
    return [normal[..., ::-1].copy() for _, normal in results]


def make(options: MidasOptions, weights: str | Path | None, device: str | torch.device) -> DrawMaps:
    """A function that draws depth or normals of pictures."""
    draw = draw_depths if options.midas_output == "depth" else draw_normals
    return partial(draw, MidasDetector(weights, device), options)
