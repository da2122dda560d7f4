"""Compare edges with true membranes: Canny, Canny after a blur, and the membrane detector.

    python benchmarks/membrane_fscore.py --tune IMAGES MASKS --test IMAGES MASKS

Each method is tuned on one set and scored on another. The truth is the middle line of the masks'
membrane class. Precision is the share of edge pixels within `--tolerance` of it, recall the share
of it within `--tolerance` of an edge, both over all pixels of a set; F is their harmonic mean.
Canny draws a line on either side of a membrane. That costs it nothing as long as the tolerance
reaches from there to the middle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from tqdm import tqdm

from annotator.canny import CannyDetector
from annotator.membrane import HIGH, LOW, MIN_LENGTH, SCALE, ridge_strength, thin_lines
from conditions.base import classes_option
from conditions.pairs import Pair, find_pairs
from conditions.segmentation import read_mask
from core.command_line.options import (
    add_options,
    new_parser,
    non_negative_float,
    non_negative_int,
    option,
    positive_int,
    read_options,
)
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import read_image, to_uint8
from core.imaging.thresholds import CANNY_HIGH, CANNY_LOW
from share import run_script

# Low and high thresholds.
CANNY_GRID = [
    (50, 100), (100, 200), (200, 300), (200, 400), (300, 400),
    (300, 500), (300, 600), (400, 500), (400, 600),
]  # fmt: skip
BLURRED_GRID = [(60, 120), (80, 160), (100, 200), (120, 240), (160, 240), (160, 320), (200, 300)]
BLURS = (1.0, 1.5, 2.0, 2.5, 3.0)  # deviation in pixels
SCALES = (3.0, 3.5, 4.0, 4.5, 5.0)
# Low and high threshold on the ridge strength, least length in pixels.
RIDGE_GRID = list(product((0.25, 0.3, 0.35, 0.4), (0.5, 0.6, 0.7, 0.8, 0.9), (0, 30, 60)))


@dataclass(frozen=True)
class MembraneScoreOptions:
    """Class of the membrane, and the distance within which an edge counts as right."""

    membrane_class: int = option(
        1, non_negative_int, "INT", "class index of membranes in the masks"
    )
    num_classes: int = classes_option()
    tolerance: float = option(
        3.0, non_negative_float, "PIXELS", "distance that still counts as found"
    )
    stride: int = option(1, positive_int, "INT", "tune on every n-th pair")


class Score(NamedTuple):
    """Agreement of edges with the truth; all in [0, 1]."""

    f: float
    precision: float
    recall: float


class Method(NamedTuple):
    """A way to draw edges.

    Attributes:
        detect: function from an image and settings to edges, bool (H, W), for each setting.
        grid: the settings to choose from.
        default: the setting that a user gets without options; None if there is none.
    """

    detect: Callable
    grid: list[tuple]
    default: tuple | None


def read_sample(pair: Pair, membrane_class: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Image, uint8 (H, W, 3), and middle line of its membranes, bool (H, W)."""
    image = to_uint8(read_image(pair.image))
    return image, skeletonize(read_mask(pair.condition, num_classes) == membrane_class)


def near(pixels: np.ndarray, others: np.ndarray, tolerance: float) -> int:
    """Number of `pixels` that lie within `tolerance` of one of the `others`; both bool (H, W)."""
    if not others.any():
        return 0  # where nothing is set, distance_transform_edt gives no distance
    return int((pixels & (distance_transform_edt(~others) <= tolerance)).sum())


def count(edges: np.ndarray, truth: np.ndarray, tolerance: float) -> np.ndarray:
    """Edge pixels near the truth, edge pixels, true pixels near an edge, true pixels.

    Args:
        edges, truth: bool (H, W).
    """
    # Both ways: edges without a membrane cost precision, membranes without an edge cost recall.
    found, hit = near(edges, truth, tolerance), near(truth, edges, tolerance)
    return np.array([found, edges.sum(), hit, truth.sum()])


def f_score(counts: np.ndarray) -> Score:
    """Score of summed `count`s; 0 where there is nothing to divide by."""
    precision, recall = counts[0] / max(counts[1], 1), counts[2] / max(counts[3], 1)
    return Score(2 * precision * recall / max(precision + recall, 1e-12), precision, recall)


def canny_edges(image: np.ndarray, settings: list[tuple]) -> list[np.ndarray]:
    """Canny's edges, bool (H, W), for each (blur, low, high)."""
    blurred = {
        blur: cv2.GaussianBlur(image, (0, 0), blur) if blur else image for blur, _, _ in settings
    }
    return [CannyDetector()(blurred[blur], low, high) > 0 for blur, low, high in settings]


def membrane_lines(image: np.ndarray, settings: list[tuple]) -> list[np.ndarray]:
    """The membrane detector's lines, bool (H, W), for each (scale, low, high, min_length)."""
    # Once for each scale: the thresholds that follow are far cheaper than the filter.
    strength = {
        scale: ridge_strength(image, scale)
        for scale in dict.fromkeys(setting[0] for setting in settings)
    }
    return [thin_lines(strength[scale], *rest) > 0 for scale, *rest in settings]


def score(
    samples: list, detect: Callable, settings: list[tuple], tolerance: float, title: str
) -> list[Score]:
    """Score of each setting over all samples.

    Args:
        samples: as `read_sample` gives them.
        detect: see `Method`.
        title: of the progress bar.
    """
    # Summed over the set before F is computed, so that pictures with few membranes count less.
    totals = np.zeros((len(settings), 4), np.int64)
    for image, truth in tqdm(samples, desc=title, unit="image"):
        totals += [count(edges, truth, tolerance) for edges in detect(image, settings)]
    return [f_score(total) for total in totals]


METHODS = {
    "canny": Method(
        canny_edges, [(0.0, *rest) for rest in CANNY_GRID], (0.0, CANNY_LOW, CANNY_HIGH)
    ),
    "canny after a blur": Method(
        canny_edges, [(blur, *rest) for blur in BLURS for rest in BLURRED_GRID], None
    ),
    "membrane": Method(
        membrane_lines,
        [(scale, *rest) for scale in SCALES for rest in RIDGE_GRID],
        (SCALE, LOW, HIGH, MIN_LENGTH),
    ),
}


def tune_and_test(name: str, method: Method, tune: list, test: list, tolerance: float) -> list[str]:
    """Lines of the table for a method's default, if it has one, and for its best setting."""
    scores = score(tune, method.detect, method.grid, tolerance, f"tune {name}")
    best = max(range(len(scores)), key=lambda i: scores[i].f)  # of equal ones the first
    lines = []
    # The setting is chosen on one set and scored on the other, which it has not seen.
    for label, setting in (("default", method.default), ("tuned", method.grid[best])):
        if setting is None:
            continue
        (result,) = score(test, method.detect, [setting], tolerance, "test")
        tuning = f"{scores[best].f:.3f}" if label == "tuned" else ""
        lines.append(
            f"{name:19} {f'{label} {setting}':38} {tuning:>8} {result.f:7.3f} "
            f"{result.precision:10.3f} {result.recall:7.3f}"
        )
    return lines


def read_samples(folders: list[Path], options: MembraneScoreOptions) -> list:
    """All samples of a folder of images and a folder of masks."""
    pairs = find_pairs(*folders)
    return [read_sample(pair, options.membrane_class, options.num_classes) for pair in pairs]


def main(argv=None):
    parser = new_parser(__doc__)
    two_folders = {"type": Path, "nargs": 2, "required": True, "metavar": ("IMAGES", "MASKS")}
    parser.add_argument("--tune", help="pairs to choose settings on", **two_folders)
    parser.add_argument("--test", help="held-out pairs to report", **two_folders)
    add_options(parser, MembraneScoreOptions, "scores")
    add_image_options(parser)
    args = parser.parse_args(argv)
    read_options(ImageOptions, args).apply()
    options = read_options(MembraneScoreOptions, args)
    tune = read_samples(args.tune, options)[:: options.stride]
    test = read_samples(args.test, options)
    lines = []
    for name, method in METHODS.items():
        lines += tune_and_test(name, method, tune, test, options.tolerance)
    print(
        f"tolerance {options.tolerance:g} pixels; "
        f"{len(tune)} images to tune on, {len(test)} to test"
    )
    print(f"{'method':19} {'settings':38} F tuning  F test  precision  recall")
    print(*lines, sep="\n")


if __name__ == "__main__":
    run_script(main)
