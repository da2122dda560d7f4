"""Continuity of a stack of images: how smoothly one slice turns into the next."""

from pathlib import Path

import cv2
import numpy as np

from core.imaging.images import list_images, read_grey, to_uint8
from core.imaging.pairing import in_natural_order

DISTANCES = (1, 2, 4, 8)  # between the slices whose correlation is reported


def read_stack(folder: Path) -> np.ndarray:
    """The images of a folder in natural order, float32 (Z, H, W) in [0, 1].

    Raises:
        FileNotFoundError: as `list_images`.
        ValueError: fewer than two images, images of unequal sizes, or one that has a single grey
            level.
    """
    paths = in_natural_order(list_images(folder))
    if len(paths) < 2:
        raise ValueError(f"{folder}: holds one image, expected the slices of a stack")
    slices = [read_grey(path) for path in paths]
    for path, pixels in zip(paths, slices, strict=True):
        if pixels.shape != slices[0].shape:
            raise ValueError(
                f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, but "
                f"{paths[0]} has {slices[0].shape[1]} x {slices[0].shape[0]}"
            )
        if pixels.std() == 0:
            raise ValueError(f"{path}: all pixels are equal, so nothing can be correlated")
    return np.stack(slices).astype(np.float32)  # (Z, H, W)


def correlation(stack: np.ndarray, distance: int) -> float | None:
    """Mean correlation of slices that are so far apart; None in a shorter stack."""
    if len(stack) <= distance:
        return None
    pairs = zip(stack, stack[distance:], strict=False)
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]))


def flow_residual(stack: np.ndarray) -> float:
    """Mean difference of neighbours after warping, as a share of the deviation of grey levels.

    The flow is that of Kroeger et al. (2016), "Fast Optical Flow using Dense Inverse Search".
    """
    flow_finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    rows, columns = np.indices(stack.shape[1:], dtype=np.float32)
    residuals = []
    for before, after in zip(stack, stack[1:], strict=False):
        levels = [to_uint8(x) for x in (before, after)]
        flow = flow_finder.calc(*levels, None)  # (H, W, 2): x and y
        warped = cv2.remap(
            after,
            columns + flow[..., 0],
            rows + flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # (H, W)
        residuals.append(np.abs(warped - before).mean())
    return float(np.mean(residuals) / stack.std())


def measure(stack: np.ndarray) -> dict:
    """Numbers of the report for one stack."""
    found = {f"correlation_{d}": correlation(stack, d) for d in DISTANCES}
    return {"slices": len(stack), **found, "flow_residual": flow_residual(stack)}


def strip(stack: np.ndarray, count: int) -> list[np.ndarray]:
    """Slices from the middle of a stack and its section along z, float (H, W, 3) each.

    The section stands upright: z runs down, as long as the slices are high.
    """
    first = max(0, (len(stack) - count) // 2)
    section = stack[:, stack.shape[1] // 2]  # (Z, W)
    section = cv2.resize(section, stack.shape[:0:-1], interpolation=cv2.INTER_NEAREST)  # (H, W)
    return [np.dstack([x] * 3) for x in (*stack[first : first + count], section)]
