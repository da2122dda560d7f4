"""Pictures of arrays for people to look at."""

import numpy as np

COLOURS = np.array(  # of classes 0, 1, 2, ...: black, then Okabe & Ito's palette, which colour-blind readers can tell apart
    [[0, 0, 0], [0, 114, 178], [240, 228, 66], [213, 94, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [230, 159, 0]],
    dtype=np.float32,
) / 255  # fmt: skip
GAP = 2  # white pixels between tiles


def class_colours(labels: np.ndarray) -> np.ndarray:
    """Class indices (H, W) -> float32 (H, W, 3) in [0, 1]; from the ninth class on colours repeat."""
    return COLOURS[labels % len(COLOURS)]


def tile(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Pictures, float (H, W, 3) in [0, 1], in a grid on white -> uint8; sizes may differ and rows may be short."""
    cell_h = max(picture.shape[0] for row in rows for picture in row) + GAP
    cell_w = max(picture.shape[1] for row in rows for picture in row) + GAP
    sheet = np.ones((GAP + cell_h * len(rows), GAP + cell_w * max(map(len, rows)), 3), dtype=np.float32)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = GAP + i * cell_h, GAP + j * cell_w
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return (sheet * 255).round().astype(np.uint8)
