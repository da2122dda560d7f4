"""The README's picture of the detectors, from a phantom and, for the networks, from planted outputs that need no weights.

    python utils/draw_detectors.py demo/detectors.png

Upper row: a phantom, its Canny edges, its membranes. Lower row: what M-LSD, MiDaS (depth, normals), OpenPose and UniFormer
draw when their networks say, in this order: a house; a ball on a plane, twice; a standing person; the phantom's mask.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from annotator.canny import CannyDetector
from annotator.membrane import MembraneDetector
from annotator.midas import depth_and_normal
from annotator.mlsd import decode_lines, draw_lines
from annotator.openpose.draw import draw_people
from annotator.uniformer import read_palette
from core.images import write_png
from core.phantoms import draw_phantom
from core.pictures import tile
from share import run_script

SIZE = 256  # pixels
MEMBRANE_SCALE = 2.0  # pixels; the phantom's membranes are 4 pixels wide
HOUSE = [
    (60, 110, 60, 220),
    (60, 220, 196, 220),
    (196, 220, 196, 110),
    (196, 110, 60, 110),
    (60, 110, 128, 50),
    (128, 50, 196, 110),
]
PERSON = np.array([  # x, y of the joints in OpenPose's order
    (128, 48), (128, 80), (98, 82), (84, 118), (78, 152), (158, 82), (172, 118), (180, 150), (110, 150), (106, 190), (102, 232),
    (146, 150), (150, 190), (154, 232), (121, 41), (135, 41), (112, 46), (144, 46),
])  # fmt: skip


def planted_lines(lines) -> torch.Tensor:
    """Maps of a network that is sure of these lines (x1, y1, x2, y2 in pixels), float32 (9, SIZE / 2, SIZE / 2)."""
    maps = torch.full((9, SIZE // 2, SIZE // 2), -9.0)
    for line in lines:
        ends = torch.tensor(line).view(2, 2) / 2
        centre = ends.mean(dim=0).round()
        column, row = centre.int().tolist()
        maps[0, row, column] = 9
        maps[1:5, row, column] = (ends - centre).flatten()
    return maps


def draw() -> np.ndarray:
    """The picture, as `tile` gives it."""
    image, mask = draw_phantom(0, "train", 2, SIZE)
    upper = [image, CannyDetector()(image), MembraneDetector()(image, scale=MEMBRANE_SCALE)]
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    ball = np.sqrt(np.clip(80**2 - (rows - 128) ** 2 - (columns - 128) ** 2, 0, None)) + 20
    candidate = np.column_stack([PERSON, np.ones(len(PERSON)), np.arange(len(PERSON))]).astype(
        float
    )
    subset = np.array([[*range(len(PERSON)), 1, len(PERSON)]], float)
    lower = [
        draw_lines(decode_lines(planted_lines(HOUSE), 0.1, 0.1), SIZE, SIZE),
        *depth_and_normal(ball, 6.2, 0.4),
    ]
    lower += [
        draw_people(np.zeros((SIZE, SIZE, 3), np.uint8), candidate, subset),
        read_palette()[1][mask],
    ]

    def colours(picture):
        return (
            picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
        ) / np.float32(255)

    return tile([[colours(picture) for picture in row] for row in (upper, lower)])


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("output", type=Path, help="PNG to write")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    write_png(args.output, draw())
    print(args.output)


if __name__ == "__main__":
    run_script(main)
