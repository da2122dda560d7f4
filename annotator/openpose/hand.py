"""Places where hands are looked for, and the joints of hands from heat maps (Simon et al. 2017)."""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from annotator.openpose.maps import smooth

NUM_JOINTS = 21
HEAT_THRESHOLD = 0.05  # of the blurred heat
ARMS = ((5, 6, 7), (2, 3, 4))  # shoulder, elbow and wrist, the left arm first
MIN_BOX_SIDE = 20  # pixels


class Box(NamedTuple):
    """A square in pixels of the picture."""

    x: int
    y: int
    side: int


def hand_boxes(candidate: np.ndarray, subset: np.ndarray, height: int, width: int) -> list[Box]:
    """Squares around the hands of all arms with three joints; those below 20 pixels are left out.

    Args:
        candidate, subset: as `body.assemble` gives them.
        height, width: of the picture in pixels.
    """
    boxes = []
    for person in subset:
        for arm in ARMS:
            numbers = person[list(arm)].astype(int)
            if (numbers < 0).any():
                continue
            shoulder, elbow, wrist = candidate[numbers, :2]
            # The hand lies beyond the wrist, in line with the forearm.
            centre = wrist + 0.33 * (wrist - elbow)  # factors as published
            side = 1.5 * max(math.dist(wrist, elbow), 0.9 * math.dist(elbow, shoulder))
            x, y = np.maximum(centre - side / 2, 0)
            side = min(side, width - x, height - y)  # a square that ends at the border
            if side >= MIN_BOX_SIDE:
                boxes.append(Box(int(x), int(y), int(side)))
    return boxes


def hand_joints(heat: np.ndarray) -> np.ndarray:
    """The strongest spot of each joint.

    Args:
        heat: float32 (21 or more, h, w).
    Returns:
        x and y, int64 (21, 2); (0, 0) for a joint that was not found.
    """
    joints = np.zeros((NUM_JOINTS, 2), np.int64)
    for i, own in enumerate(heat[:NUM_JOINTS]):
        # Pixels that touch at a corner belong to one spot.
        spots, number = ndimage.label(smooth(own) > HEAT_THRESHOLD, structure=np.ones((3, 3)))
        if number:
            # The spot with the most heat in all, not the one with the highest peak.
            strongest = 1 + np.argmax(ndimage.sum_labels(own, spots, range(1, number + 1)))
            highest = np.argmax(np.where(spots == strongest, own, -np.inf))
            y, x = np.unravel_index(highest, own.shape)
            joints[i] = x, y
    return joints
