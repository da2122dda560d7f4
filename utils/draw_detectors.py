"""Draw the documentation's picture of the detectors; it needs no weights.

    python utils/draw_detectors.py demo/detectors.png

Upper row: a phantom, its Canny edges, its membranes. Lower row: what M-LSD, MiDaS (depth, normals),
OpenPose and UniFormer draw when their networks say, in this order: a house; a ball on a plane,
twice; a standing person; the phantom's mask. The networks' outputs are synthetic.
"""

from pathlib import Path

import numpy as np
from einops import repeat

from annotator.canny import CannyDetector
from annotator.membrane import MembraneDetector
from annotator.network_detectors import MIDAS_A, MIDAS_BG_TH
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import new_parser
from core.imaging.images import write_png
from core.imaging.pictures import tile
from microscope.phantoms import draw_phantom
from share import run_script

SIZE = 256  # pixels
MEMBRANE_SCALE = 2.0  # pixels; the phantom's membranes are 4 pixels wide
HOUSE = (  # x1, y1, x2, y2 of its lines
    (60, 110, 60, 220), (60, 220, 196, 220), (196, 220, 196, 110),
    (196, 110, 60, 110), (60, 110, 128, 50), (128, 50, 196, 110),
)  # fmt: skip
PERSON = np.array([  # x, y of the joints in OpenPose's order
    (128, 48), (128, 80), (98, 82), (84, 118), (78, 152), (158, 82), (172, 118), (180, 150),
    (110, 150), (106, 190), (102, 232), (146, 150), (150, 190), (154, 232), (121, 41), (135, 41),
    (112, 46), (144, 46),
])  # fmt: skip


def draw_house() -> np.ndarray:
    """The lines that M-LSD decodes from maps of a house, uint8 (SIZE, SIZE)."""
    # Here, as below: the detectors load torch, which takes longer than reading the options.
    from annotator.mlsd import decode_lines, draw_lines
    from annotator.synthetic_maps import line_maps

    lines = decode_lines(line_maps(HOUSE, SIZE, SIZE), thr_v=0.1, thr_d=0.1)
    return draw_lines(lines, SIZE, SIZE)


def draw_ball() -> tuple[np.ndarray, np.ndarray]:
    """Depth, uint8 (SIZE, SIZE), and normals, uint8 (SIZE, SIZE, 3), of a ball on a plane."""
    from annotator.midas import depth_and_normal

    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    # A sphere of 80 pixels around the middle; the plane has height 0.
    height = np.sqrt(np.clip(80**2 - (rows - 128) ** 2 - (columns - 128) ** 2, 0, None))
    return depth_and_normal(height + 20, MIDAS_A, MIDAS_BG_TH)


def draw_person() -> np.ndarray:
    """The skeleton of a standing person, uint8 RGB (SIZE, SIZE, 3)."""
    from annotator.openpose.draw import draw_people

    numbers = np.arange(len(PERSON))
    scores = np.ones(len(PERSON))
    candidate = np.column_stack([PERSON, scores, numbers]).astype(float)
    subset = np.array([[*numbers, 1, len(PERSON)]], float)  # one person with all joints
    return draw_people(np.zeros((SIZE, SIZE, 3), np.uint8), candidate, subset)


def as_colours(picture: np.ndarray) -> np.ndarray:
    """A uint8 picture, grey or RGB, as float32 (H, W, 3) in [0, 1]."""
    if picture.ndim == 2:
        picture = repeat(picture, "h w -> h w 3")
    return picture / np.float32(255)


def draw() -> np.ndarray:
    """The picture, uint8 (H, W, 3)."""
    from annotator.uniformer import read_palette

    image, mask = draw_phantom(0, "train", 2, SIZE)
    upper = [image, CannyDetector()(image), MembraneDetector()(image, scale=MEMBRANE_SCALE)]
    palette = read_palette()[1]
    lower = [draw_house(), *draw_ball(), draw_person(), palette[mask]]
    return tile([[as_colours(picture) for picture in row] for row in (upper, lower)])


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("output", type=Path, help="PNG to write")
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    if args.dry_run:
        print(dry_run_text(vars(args), f"picture: {args.output}", hidden=["output"]))
        return
    write_png(args.output, draw())
    print(args.output)


if __name__ == "__main__":
    run_script(main)
