"""Pictures as RGB, and at the sizes that the published networks were used with."""

import cv2
import numpy as np

SIDE_MULTIPLE = 64  # pixels; what Stable Diffusion and its control branch divide by


def HWC3(x: np.ndarray) -> np.ndarray:
    """Grey, RGB or RGBA picture as uint8 RGB (H, W, 3); RGBA is laid on white.

    Args:
        x: uint8, (H, W) or (H, W, C) with C = 1, 3 or 4.
    Raises:
        ValueError: another type or shape, or a picture without pixels.
    """
    if x.dtype != np.uint8:
        # A float picture may hold 0..1 or 0..255: guessing would give a black or a white one.
        raise ValueError(
            f"picture of {x.dtype}, expected uint8. Scale it to 0..255 and convert it."
        )
    if x.ndim == 2:
        x = x[..., None]  # (H, W, 1)
    if x.ndim != 3 or x.shape[2] not in (1, 3, 4) or x.size == 0:
        raise ValueError(
            f"picture of shape {x.shape}, expected (H, W) or (H, W, C) with C = 1, 3 or 4"
        )
    if x.shape[2] == 3:
        return x
    if x.shape[2] == 1:
        return np.repeat(x, 3, axis=2)  # (H, W, 3)
    alpha = x[..., 3:].astype(np.float32) / 255  # (H, W, 1)
    # Truncated, not rounded, as in the published code.
    return (x[..., :3] * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)


def resize_image(input_image: np.ndarray, resolution: int) -> np.ndarray:
    """A picture whose short side has about `resolution` pixels.

    Both sides become the nearest multiple of 64, so the aspect ratio changes slightly.

    Differs from the published code: a side never becomes 0, but at least 64.

    Args:
        input_image: uint8 (H, W, C) or (H, W).
        resolution: length of the short side in pixels.
    """
    height, width = input_image.shape[:2]
    k = resolution / min(height, width)
    # round() takes halves to the even number, as the published code does.
    height, width = (
        max(SIDE_MULTIPLE, round(side * k / SIDE_MULTIPLE) * SIDE_MULTIPLE)
        for side in (height, width)
    )
    # Sharp when the picture grows; when it shrinks, averages keep fine texture from aliasing.
    interpolation = cv2.INTER_LANCZOS4 if k > 1 else cv2.INTER_AREA
    return cv2.resize(input_image, (width, height), interpolation=interpolation)
