"""Synthetic network outputs, for drawing and timing what a detector does with them.

They show outlines, straight lines and people as the networks of HED, M-LSD and OpenPose would.
"""

from collections.abc import Sequence

import numpy as np
import torch

from annotator.openpose.body import LIMBS, NUM_JOINTS
from annotator.openpose.network import NUM_FIELDS, NUM_HEATMAPS

LOGIT = 6.0  # where the network is sure of something; minus this where it is sure of nothing

# A person who faces the viewer, arms apart: x and y of the 18 joints around the middle of the body,
# in body heights.
FIGURE = np.array([
    [0, -0.42], [0, -0.3], [-0.11, -0.3], [-0.18, -0.15], [-0.25, 0], [0.11, -0.3], [0.18, -0.15],
    [0.25, 0], [-0.08, 0.05], [-0.09, 0.28], [-0.1, 0.5], [0.08, 0.05], [0.09, 0.28], [0.1, 0.5],
    [-0.04, -0.46], [0.04, -0.46], [-0.09, -0.43], [0.09, -0.43],
])  # fmt: skip


def edge_maps(
    distance: np.ndarray, scales: tuple[int, ...] = (1, 2, 4, 8, 16)
) -> list[torch.Tensor]:
    """HED's side outputs, (1, 1, H / s, W / s), of an outline one pixel of each map wide.

    Args:
        distance: from the outline in pixels, (H, W), with either sign.
        scales: s of each map.
    """
    maps = []
    for s in scales:
        # The pixel in the middle of each cell speaks for the cell.
        coarse = distance[s // 2 :: s, s // 2 :: s]  # (H / s, W / s)
        logits = torch.from_numpy(LOGIT * (1 - np.abs(coarse) / s)).float()
        maps.append(logits[None, None])
    return maps


def line_maps(lines: Sequence | np.ndarray, height: int, width: int) -> torch.Tensor:
    """M-LSD's nine maps, (9, H / 2, W / 2).

    Args:
        lines: x1, y1, x2, y2 of each in pixels of the picture, (lines, 4).
        height, width: of the picture in pixels.
    """
    maps = torch.zeros(9, height // 2, width // 2)
    maps[0] = -LOGIT  # no line anywhere
    for x1, y1, x2, y2 in np.asarray(lines) / 2:  # the maps have half the resolution
        x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
        maps[0, y, x] = LOGIT
        # Displacements are exact although the centre is a whole pixel.
        maps[1:5, y, x] = torch.tensor([x1 - x, y1 - y, x2 - x, y2 - y])
    return maps


def heat_map(points: Sequence | np.ndarray, height: int, width: int, sigma: float) -> np.ndarray:
    """A peak of 1 at each (x, y), float32 (H, W).

    Args:
        sigma: deviation of the peaks in pixels.
    """
    rows, columns = np.mgrid[:height, :width]
    heat = np.zeros((height, width), np.float32)
    for x, y in points:
        # The maximum, not the sum, keeps close peaks apart (Cao et al. 2017, Eq. 7).
        heat = np.maximum(heat, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)))
    return heat.astype(np.float32)


def add_limb(field: np.ndarray, start: np.ndarray, end: np.ndarray, half_width: float) -> None:
    """Write the direction from `start` to `end` into a field, wherever that limb lies.

    Args:
        field: (2, H, W); changed in place.
        start, end: (x, y) in pixels.
        half_width: of the limb in pixels.
    """
    rows, columns = np.mgrid[: field.shape[1], : field.shape[2]]
    length = np.linalg.norm(end - start)
    direction = (end - start) / length
    # Position of every pixel in the limb's own axes, (H, W) each.
    along = (columns - start[0]) * direction[0] + (rows - start[1]) * direction[1]
    across = (columns - start[0]) * direction[1] - (rows - start[1]) * direction[0]
    is_beside = np.abs(across) <= half_width
    is_between = (along >= -half_width) & (along <= length + half_width)
    field[:, is_beside & is_between] = direction[:, None]


def pose_maps(
    people: Sequence[np.ndarray], height: int, width: int, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """OpenPose's heat maps, float32 (19, H, W), and part affinity fields, float32 (38, H, W).

    Args:
        people: joints of each, (18, 2), in pixels; nan for joints that do not show.
        height, width: of the maps.
        sigma: deviation of the peaks and half the width of the limbs in pixels.
    """
    heat = np.zeros((NUM_HEATMAPS, height, width), np.float32)
    fields = np.zeros((NUM_FIELDS, height, width), np.float32)
    for joint in range(NUM_JOINTS):
        points = [person[joint] for person in people if not np.isnan(person[joint]).any()]
        heat[joint] = heat_map(points, height, width, sigma)
    heat[-1] = 1 - heat[:-1].max(axis=0)  # the background
    for limb in LIMBS:
        for person in people:
            if not np.isnan(person[[limb.a, limb.b]]).any():
                add_limb(fields[limb.x : limb.y + 1], person[limb.a], person[limb.b], sigma)
    return heat, fields
