"""Depth from one picture (MiDaS, Ranftl et al. 2020 and 2021), and the surface normals that follow from it."""

import math
from pathlib import Path

import cv2
import numpy as np
import torch

from annotator.midas.network import DPTHybrid
from annotator.networks import load_network, pad_to_multiple, published, to_tensor

WEIGHTS = published("dpt_hybrid-midas-501f0c75.pt", sha256="501f0c75", licence="MIT")
SIZE_MULTIPLE = 32  # pixels


def depth_and_normal(d: np.ndarray, a: float, bg_th: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse depth, float32 (H, W) -> depth picture, uint8 (H, W), and normals, uint8 (H, W, 3).

    Normals are (dd/dx, dd/dy, a) of the 3 x 3 Sobel filters, of length 1, from [-1, 1] to 0..255; x, y, z are in R, G, B.

    Args:
        a: the smaller, the steeper.
        bg_th: where the depth, scaled to [0, 1], lies below it, the surface faces the viewer.
    """
    n = d - d.min()
    # Differs from the published code: a constant map has no depth, where 0 / 0 gave nan.
    n = n / max(n.max(), np.finfo(np.float32).tiny)
    depth = (n * 255).clip(0, 255).astype(np.uint8)
    gx, gy = cv2.Sobel(d, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(d, cv2.CV_32F, 0, 1, ksize=3)
    gx[n < bg_th] = gy[n < bg_th] = 0
    normal = np.stack([gx, gy, np.full_like(gx, a)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return depth, (normal * 127.5 + 127.5).clip(0, 255).astype(np.uint8)


class MidasDetector:
    """Inverse depth, larger is nearer, and normals."""

    def __init__(self, weights: str | Path | None = None, device: str | torch.device = "cpu"):
        """`weights`: file, or folder that holds it; otherwise looked for and downloaded, see `annotator.networks`."""
        self.device = device
        self.network = load_network(DPTHybrid, WEIGHTS, weights, device)

    def __call__(
        self, img: np.ndarray, a: float = 2 * math.pi, bg_th: float = 0.1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Depth, uint8 (H, W), and normals, uint8 (H, W, 3), see `depth_and_normal`.

        Args:
            img: uint8 RGB (H, W, 3) of any size; grey and RGBA are taken too. The network was made for about 384 pixels.
        """
        return self.detect([img], a, bg_th)[0]

    @torch.inference_mode()
    def detect(
        self, images: list[np.ndarray], a: float = 2 * math.pi, bg_th: float = 0.1
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `__call__`, of pictures of one size together."""
        x = to_tensor(images, self.device) / 127.5 - 1
        height, width = x.shape[2:]
        # Differs from the published code: sizes that 32 does not divide are padded, not refused.
        maps = self.network(pad_to_multiple(x, SIZE_MULTIPLE))[:, :height, :width].cpu().numpy()
        return [depth_and_normal(d, a, bg_th) for d in maps]
