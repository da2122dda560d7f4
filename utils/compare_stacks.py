r"""Compare stacks of images: how smoothly one slice turns into the next.

    python utils/compare_stacks.py real=data/images alone=run_alone/images stack=run_stack/images \
        --output comparison

This writes `comparison/report.json` and `comparison/strips.png`: for each stack some neighbouring
slices, then a section along z. The report holds, as means over the stack, the correlation of
slices, and the flow residual: what is left of the difference of neighbours after one is warped onto
the other, as a share of the deviation of grey levels.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from core.command_line.options import (
    add_options,
    folder_name,
    new_parser,
    option,
    positive_int,
    read_options,
)
from core.files import check_new_folder, whole_folder, write_json
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import list_images, read_grey, write_png
from core.imaging.pairing import in_natural_order
from core.imaging.pictures import tile
from share import run_script

DISTANCES = (1, 2, 4, 8)  # between the slices whose correlation is reported


@dataclass(frozen=True)
class StackComparisonOptions:
    """Folder to make, and how much it shows."""

    output: Path = option(None, Path, "DIR", "folder to make", required=True)
    slices: int = option(6, positive_int, "INT", "neighbouring slices to show of each stack")


def named_folder(text: str) -> tuple[str, Path]:
    """`real=data/images` as a pair of name and folder."""
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FOLDER")
    return folder_name(name), Path(folder)


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
        levels = [(255 * x).round().astype(np.uint8) for x in (before, after)]
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


def parse_args(argv=None) -> argparse.Namespace:
    parser = new_parser(__doc__)
    parser.add_argument(
        "stacks", type=named_folder, nargs="+", metavar="NAME=FOLDER", help="folders of slices"
    )
    add_options(parser, StackComparisonOptions, "comparison")
    add_image_options(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    use_image_options(args)
    options = read_options(StackComparisonOptions, args)
    names = [name for name, _ in args.stacks]
    if len(set(names)) < len(names):
        raise ValueError("two stacks have one name")
    check_new_folder(options.output)
    report, rows = {}, []
    for name, folder in tqdm(args.stacks, desc="compare", unit="stack", leave=False):
        stack = read_stack(folder)
        report[name] = measure(stack)
        rows.append(strip(stack, options.slices))
    titles = [
        f"{name}: correlation of neighbours {found['correlation_1']:.3f}, flow residual "
        f"{found['flow_residual']:.3f}"
        for name, found in report.items()
    ]
    with whole_folder(options.output) as folder:
        write_json(folder / "report.json", report)
        write_png(folder / "strips.png", tile(rows, titles=titles))
    print("\n".join([*titles, f"written: {options.output}"]))


if __name__ == "__main__":
    run_script(main)
