"""How well do edges follow true membranes? Canny, Canny after a blur and the membrane detector, tuned on one set, scored on another.

    python benchmarks/membrane_fscore.py --tune IMAGES MASKS --test IMAGES MASKS

The truth is the middle line of the masks' membrane class. Precision is the share of edge pixels within `--tolerance` of it, recall
the share of it within `--tolerance` of an edge, both over all pixels of a set; F is their harmonic mean. A line on either side of
a membrane costs Canny nothing while the tolerance reaches the middle.
"""

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize
from tqdm import tqdm

from annotator.canny import CannyDetector
from annotator.membrane import HIGH, LOW, MIN_LENGTH, SCALE, ridge_strength, thin_lines
from conditions.segmentation import read_mask
from core.images import read_image
from core.options import non_negative_float, non_negative_int, positive_int
from dataset import find_pairs
from share import run_script

CANNY_GRID = [
    (50, 100),
    (100, 200),
    (200, 300),
    (200, 400),
    (300, 400),
    (300, 500),
    (300, 600),
    (400, 500),
    (400, 600),
]
BLURRED_GRID = [(60, 120), (80, 160), (100, 200), (120, 240), (160, 240), (160, 320), (200, 300)]
BLURS = (1.0, 1.5, 2.0, 2.5, 3.0)  # deviation in pixels
SCALES = (3.0, 3.5, 4.0, 4.5, 5.0)
RIDGE_GRID = [
    (low, high, length)
    for low, high, length in product((0.25, 0.3, 0.35, 0.4), (0.5, 0.6, 0.7, 0.8, 0.9), (0, 30, 60))
]


def read_pair(pair, membrane_class: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Image, uint8 (H, W, 3), and middle line of its membranes, bool (H, W)."""
    image = (read_image(pair.image) * 255).round().astype(np.uint8)
    return image, skeletonize(read_mask(pair.condition, num_classes) == membrane_class)


def count(edges: np.ndarray, truth: np.ndarray, tolerance: float) -> np.ndarray:
    """Edge pixels near the truth, edge pixels, true pixels near an edge, true pixels; both pictures bool (H, W)."""
    near = [
        a & (distance_transform_edt(~b) <= tolerance) if b.any() else np.zeros_like(a)
        for a, b in ((edges, truth), (truth, edges))
    ]
    return np.array([near[0].sum(), edges.sum(), near[1].sum(), truth.sum()])


def f_score(counts: np.ndarray) -> tuple[float, float, float]:
    """F, precision and recall of summed `count`s; 0 where there is nothing to divide by."""
    precision, recall = counts[0] / max(counts[1], 1), counts[2] / max(counts[3], 1)
    return 2 * precision * recall / max(precision + recall, 1e-12), precision, recall


def canny_edges(image: np.ndarray, settings: list[tuple]) -> list[np.ndarray]:
    """Canny's edges, bool (H, W), for each (blur, low, high)."""
    blurred = {
        blur: cv2.GaussianBlur(image, (0, 0), blur) if blur else image for blur, _, _ in settings
    }
    return [CannyDetector()(blurred[blur], low, high) > 0 for blur, low, high in settings]


def membrane_lines(image: np.ndarray, settings: list[tuple]) -> list[np.ndarray]:
    """The membrane detector's lines, bool (H, W), for each (scale, low, high, min_length)."""
    strength = {
        scale: ridge_strength(image, scale)
        for scale in dict.fromkeys(setting[0] for setting in settings)
    }
    return [thin_lines(strength[scale], *rest) > 0 for scale, *rest in settings]


def score(
    samples: list, detect: Callable, settings: list[tuple], tolerance: float, title: str
) -> list[tuple[float, float, float]]:
    """F, precision and recall of each setting over all samples, pairs as `read_pair` gives them."""
    totals = np.zeros((len(settings), 4), np.int64)
    for image, truth in tqdm(samples, desc=title, unit="image"):
        totals += [count(edges, truth, tolerance) for edges in detect(image, settings)]
    return [f_score(total) for total in totals]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for name, what in (
        ("tune", "pairs to choose settings on"),
        ("test", "held-out pairs to report"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, nargs=2, required=True, metavar=("IMAGES", "MASKS"), help=what
        )
    parser.add_argument(
        "--membrane_class",
        type=non_negative_int,
        default=1,
        metavar="INT",
        help="class index of membranes in the masks",
    )
    parser.add_argument(
        "--num_classes", type=positive_int, default=3, metavar="INT", help="classes of the masks"
    )
    parser.add_argument(
        "--tolerance",
        type=non_negative_float,
        default=3.0,
        metavar="PIXELS",
        help="distance that still counts as found",
    )
    parser.add_argument(
        "--stride", type=positive_int, default=1, metavar="INT", help="tune on every n-th pair"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    tune, test = (
        [read_pair(pair, args.membrane_class, args.num_classes) for pair in find_pairs(*folders)]
        for folders in (args.tune, args.test)
    )
    tune = tune[:: args.stride]
    methods = {
        "canny": (canny_edges, [(0.0, *rest) for rest in CANNY_GRID], (0.0, 100, 200)),
        "canny after a blur": (
            canny_edges,
            [(blur, *rest) for blur in BLURS for rest in BLURRED_GRID],
            None,
        ),
        "membrane": (
            membrane_lines,
            [(scale, *rest) for scale in SCALES for rest in RIDGE_GRID],
            (SCALE, LOW, HIGH, MIN_LENGTH),
        ),
    }
    rows = []
    for name, (detect, grid, default) in methods.items():
        found = score(tune, detect, grid, args.tolerance, f"tune {name}")
        best = max(range(len(grid)), key=lambda i: found[i][0])
        for label, setting in (("default", default), ("tuned", grid[best])):
            if setting is not None:
                rows.append(
                    (
                        name,
                        label,
                        setting,
                        found[best][0] if label == "tuned" else None,
                        score(test, detect, [setting], args.tolerance, "test")[0],
                    )
                )
    print(
        f"tolerance {args.tolerance:g} pixels; {len(tune)} images to tune on, {len(test)} to test"
    )
    print(f"{'method':19} {'settings':38} F tuning  F test  precision  recall")
    for name, label, setting, tuning, (f, precision, recall) in rows:
        words = f"{label} {setting}"
        print(
            f"{name:19} {words:38} {'' if tuning is None else f'{tuning:.3f}':>8} {f:7.3f} {precision:10.3f} {recall:7.3f}"
        )


if __name__ == "__main__":
    run_script(main)
