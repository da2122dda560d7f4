"""Skeletons and hands as the published model was trained to see them."""

import colorsys
import math

import cv2
import numpy as np

from annotator.openpose.body import NUM_JOINTS, SKELETON

RADIUS = 4  # of a joint, and half the width of a limb, in pixels
COLOURS = (  # RGB; of joint i and of limb i
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
FINGERS = tuple((0 if i % 4 == 0 else i, i + 1) for i in range(20))  # 0-1-2-3-4, 0-5-6-7-8, ...
HAND_JOINT = (0, 0, 255)


def draw_people(canvas: np.ndarray, candidate: np.ndarray, subset: np.ndarray) -> np.ndarray:
    """A copy of a picture with joints, and over them limbs at 60 % opacity.

    Args:
        canvas: uint8 RGB (H, W, 3).
        candidate, subset: as `body.assemble` gives them.
    """
    canvas = canvas.copy()
    for joint in range(NUM_JOINTS):
        for number in subset[:, joint].astype(int):
            if number >= 0:
                x, y = candidate[number, :2].astype(int).tolist()
                cv2.circle(canvas, (x, y), RADIUS, COLOURS[joint], thickness=-1)
    for colour, limb in zip(COLOURS, SKELETON, strict=False):
        for numbers in subset[:, [limb.a, limb.b]].astype(int):
            if (numbers >= 0).all():
                (xa, ya), (xb, yb) = candidate[numbers, :2]
                # A limb is an ellipse between its joints. Whole pixels and degrees, as published.
                centre = int((xa + xb) / 2), int((ya + yb) / 2)
                axes = int(math.dist((xa, ya), (xb, yb)) / 2), RADIUS
                angle = int(math.degrees(math.atan2(ya - yb, xa - xb)))
                outline = cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1)
                # Blended inside the limb's box alone: on the whole canvas it would take far longer.
                left, top = outline.min(axis=0).clip(0)
                right, bottom = outline.max(axis=0) + 1
                under = canvas[top:bottom, left:right]
                over = cv2.fillConvexPoly(under.copy(), outline - (left, top), colour)
                under[:] = cv2.addWeighted(under, 0.4, over, 0.6, 0)
    return canvas


def draw_hand(canvas: np.ndarray, joints: np.ndarray) -> None:
    """Draw bones in the colours of the rainbow and blue joints onto a picture.

    Differs from the published code: a joint that was not found is not drawn in the corner.

    Args:
        canvas: uint8 RGB (H, W, 3); changed in place.
        joints: x and y, (21, 2), in pixels; (0, 0) for one that was not found.
    """
    points = [tuple(point) for point in joints.tolist()]
    for i, (a, b) in enumerate(FINGERS):
        if points[a] != (0, 0) and points[b] != (0, 0):
            colour = [round(255 * value) for value in colorsys.hsv_to_rgb(i / len(FINGERS), 1, 1)]
            cv2.line(canvas, points[a], points[b], colour, thickness=2)
    for point in points:
        if point != (0, 0):
            cv2.circle(canvas, point, RADIUS, HAND_JOINT, thickness=-1)
