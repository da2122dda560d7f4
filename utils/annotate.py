"""Draw what a detector sees in every image of a folder: edges, depth, lines, poses, classes or membranes.

    python utils/annotate.py --detector membrane --input data/train/images --output data/train/edges

The pictures keep names and sizes of the images. Those of canny, hed, mlsd and membrane are edge maps: they feed
`train.py --condition_type edge --edge_path` and `generate.py --edge_dirs`. All others but midas depth are colour pictures.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

import annotator.hed
import annotator.midas
import annotator.mlsd
import annotator.openpose
import annotator.uniformer
from annotator.canny import CannyDetector
from annotator.membrane import HIGH, LOW, MIN_LENGTH, SCALE, MembraneDetector
from annotator.networks import CKPTS_VARIABLE, find_checkpoint
from annotator.util import resize_image
from core.devices import pick_device
from core.downloads import WeightsFile, sha256_of
from core.files import whole_file
from core.images import check_image, read_image, write_png
from core.options import (
    add_bool,
    changed_options,
    fraction,
    non_negative_float,
    non_negative_int,
    plain,
    positive_float,
    positive_int,
)
from core.pictures import evenly, fit, tile
from core.workers import in_workers
from dataset import condition_paths
from share import run_script

RECORD = "annotate.json"
OVERVIEW = (
    Path("overview") / "overview.png"
)  # in a folder of its own: whoever reads the maps must not take it for one
OVERVIEW_ROWS, OVERVIEW_SIDE = 6, 384  # images; pixels of the longer side
SHARED_OPTIONS = (
    "detector",
    "input",
    "detect_resolution",
)  # those, besides the detector's own, that decide what is drawn
BAR_FROM = 200  # images from which checking shows a progress bar

Detect = Callable[
    [list[np.ndarray]], list[np.ndarray]
]  # pictures of one size, uint8 (H, W, 3) -> uint8 (H, W) or (H, W, 3)


def each(detect_one, images):
    return [detect_one(image) for image in images]


def part_of(detect, index, images):
    return [result[index] for result in detect(images)]


def make_canny(args) -> Detect:
    return partial(
        each, partial(CannyDetector(), low_threshold=args.canny_low, high_threshold=args.canny_high)
    )


def make_membrane(args) -> Detect:
    settings = {
        "scale": args.membrane_scale,
        "low": args.membrane_low,
        "high": args.membrane_high,
        "min_length": args.membrane_min_length,
    }
    return partial(each, partial(MembraneDetector(), **settings))


def make_hed(args) -> Detect:
    detect = annotator.hed.HEDdetector(args.weights_path, args.device).detect
    return (
        (lambda images: each(annotator.hed.fake_scribble, detect(images)))
        if args.hed_scribble
        else detect
    )


def make_midas(args) -> Detect:
    detect = partial(
        annotator.midas.MidasDetector(args.weights_path, args.device).detect,
        a=args.midas_a,
        bg_th=args.midas_bg_th,
    )
    if args.midas_output == "depth":
        return partial(part_of, detect, 0)
    return lambda images: [
        normal[..., ::-1].copy() for _, normal in detect(images)
    ]  # z, y, x, as the published hints are


def make_mlsd(args) -> Detect:
    return partial(
        annotator.mlsd.MLSDdetector(args.weights_path, args.device).detect,
        thr_v=args.mlsd_thr_v,
        thr_d=args.mlsd_thr_d,
    )


def make_openpose(args) -> Detect:
    return partial(
        part_of,
        partial(
            annotator.openpose.OpenposeDetector(args.weights_path, args.device).detect,
            hand=args.openpose_hand,
        ),
        0,
    )


def make_uniformer(args) -> Detect:
    return annotator.uniformer.UniformerDetector(
        args.weights_path, args.device, args.uniformer_swap_channels
    ).detect


class Detector(NamedTuple):
    """How one detector is made, its published weights if it has any, and how its pictures are brought to another size."""

    make: Callable[[argparse.Namespace], Detect]
    weights: WeightsFile | None = None
    interpolation: int = cv2.INTER_NEAREST


DETECTORS = {
    "canny": Detector(make_canny),
    "hed": Detector(make_hed, annotator.hed.WEIGHTS, cv2.INTER_LINEAR),
    "midas": Detector(make_midas, annotator.midas.WEIGHTS, cv2.INTER_LINEAR),
    "mlsd": Detector(make_mlsd, annotator.mlsd.WEIGHTS),
    "openpose": Detector(make_openpose, annotator.openpose.BODY_WEIGHTS),
    "uniformer": Detector(make_uniformer, annotator.uniformer.WEIGHTS),
    "membrane": Detector(make_membrane),
}


def read_picture(path: Path) -> np.ndarray:
    """As `read_image`, in 8 bits, uint8 (H, W, 3)."""
    return (read_image(path) * 255).round().astype(np.uint8)


def annotate(
    paths: list[Path], detect: Detect, interpolation: int, resolution: int | None
) -> list[tuple[Path, np.ndarray]]:
    """Images of one size with what the detector draws at their size; it sees them with a short side of `resolution`, if given."""
    images = [read_picture(path) for path in paths]
    height, width = images[0].shape[:2]
    maps = detect([resize_image(image, resolution) for image in images] if resolution else images)
    maps = [
        picture
        if picture.shape[:2] == (height, width)
        else cv2.resize(picture, (width, height), interpolation=interpolation)
        for picture in maps
    ]
    return list(zip(paths, maps, strict=True))


def batches_of_one_size(
    sizes: dict[Path, tuple[int, int]], batch_size: int
) -> Iterator[list[Path]]:
    """Lists of at most `batch_size` files of equal size."""
    for _, group in groupby(sorted(sizes, key=sizes.get), key=sizes.get):
        paths = list(group)
        for start in range(0, len(paths), batch_size):
            yield paths[start : start + batch_size]


def settings_of(args: argparse.Namespace) -> dict:
    """The options that decide what is drawn, as JSON stores them."""
    own = {
        key: value
        for key, value in vars(args).items()
        if key in SHARED_OPTIONS or key.startswith(f"{args.detector}_")
    }
    return plain(own | {"input": args.input.resolve()})


def recorded_weights(output: Path, settings: dict) -> dict | None:
    """Checksums of the weights that made what is in `output`; None where there is nothing yet.

    Raises:
        ValueError: it holds something else than maps that these settings made.
    """
    record = output / RECORD
    if not record.is_file():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise ValueError(
                f"--output {output}: holds files but no {RECORD}, so it is of another making. Name a new or an empty folder."
            )
        return None
    try:
        saved = json.loads(record.read_text())
        before, weights = saved["settings"], saved["weights"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record}: damaged ({error}). Name another --output.") from error
    changed = changed_options(settings, before, set())
    if changed:
        raise ValueError(
            f"--output {output}: was made with another {changed[0]} ({before[changed[0].lstrip('-')]}). Name another folder, or use that."
        )
    return weights


def find_all_weights(args: argparse.Namespace) -> dict[str, str]:
    """SHA-256 of each file of weights that the detector will read; missing ones are downloaded.

    Raises:
        FileNotFoundError: a file is missing and cannot be downloaded.
    """
    published = DETECTORS[args.detector].weights
    if published is None:
        return {}
    paths = [find_checkpoint(published, args.weights_path)]
    if args.openpose_hand:
        paths.append(
            find_checkpoint(
                annotator.openpose.HAND_WEIGHTS, paths[0].parent if args.weights_path else None
            )
        )
    return {path.name: sha256_of(path) for path in paths}


def check_images(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """Sizes of all files; raises ValueError at the first that cannot be read."""
    return {
        path: check_image(path)
        for path in tqdm(
            paths, desc="checking files", unit="image", disable=len(paths) <= BAR_FROM, leave=False
        )
    }


def draw_overview(paths: list[Path], output: Path) -> np.ndarray:
    """Image | map of a few evenly chosen files, as `tile` gives them."""

    def shown(path):
        picture = read_image(path)
        return fit(picture, min(OVERVIEW_SIDE, max(picture.shape[:2])))

    return tile(
        [[shown(path), shown(output / f"{path.stem}.png")] for path in evenly(paths, OVERVIEW_ROWS)]
    )


def draw_all(sizes: dict[Path, tuple[int, int]], args, detector: Detector, detect: Detect) -> None:
    """Write the map of each file, with a progress bar."""
    work = partial(
        annotate,
        detect=detect,
        interpolation=detector.interpolation,
        resolution=args.detect_resolution,
    )
    batches = list(batches_of_one_size(sizes, args.batch_size if detector.weights else 1))
    with tqdm(total=len(sizes), desc=args.detector, unit="image") as bar:
        num_workers = 0 if detector.weights else min(args.num_workers, len(batches))
        for done in in_workers(work, batches, num_workers):
            for path, picture in done:
                write_png(args.output / f"{path.stem}.png", picture)
                bar.update()


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=" ".join(__doc__.split("\n\n")[0].split()), epilog=" ".join(__doc__.split("\n\n")[2].split()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    files = parser.add_argument_group("files")
    what = "canny, hed, mlsd and membrane draw edges; midas depth or normals; openpose people; uniformer classes"
    files.add_argument("--detector", choices=DETECTORS, required=True, help=what)
    files.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="DIR",
        help="images, 8 or 16 bit, grey or RGB; alpha is dropped as in training",
    )
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"for a PNG per image and {OVERVIEW}; what an earlier run made stays",
    )
    what = f"file of the weights, or folder that holds it; not given: ${CKPTS_VARIABLE} and annotator/ckpts are looked in, then it is downloaded"
    files.add_argument("--weights_path", type=Path, metavar="PATH", help=what)
    run = parser.add_argument_group("run")
    what = "show the detector the images at this short side (multiples of 64) and bring its pictures back; published: 512, midas 384; not given: no resizing"
    run.add_argument("--detect_resolution", type=positive_int, metavar="PIXELS", help=what)
    run.add_argument(
        "--num_workers",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="processes for canny and membrane; 0 is this one",
    )
    run.add_argument(
        "--batch_size",
        type=positive_int,
        default=4,
        metavar="INT",
        help="images of equal size that a network sees at once",
    )
    run.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda")
    group = parser.add_argument_group("canny")
    group.add_argument(
        "--canny_low",
        type=non_negative_float,
        default=100.0,
        metavar="FLOAT",
        help="threshold where an edge ends",
    )
    group.add_argument(
        "--canny_high",
        type=non_negative_float,
        default=200.0,
        metavar="FLOAT",
        help="threshold where an edge starts",
    )
    group = parser.add_argument_group("membrane")
    what = "deviation of the blur, about two thirds of a membrane's width"
    group.add_argument(
        "--membrane_scale", type=positive_float, default=SCALE, metavar="PIXELS", help=what
    )
    group.add_argument(
        "--membrane_low",
        type=non_negative_float,
        default=LOW,
        metavar="FLOAT",
        help="ridge strength where a line ends",
    )
    group.add_argument(
        "--membrane_high",
        type=non_negative_float,
        default=HIGH,
        metavar="FLOAT",
        help="ridge strength where a line starts",
    )
    group.add_argument(
        "--membrane_min_length",
        type=non_negative_int,
        default=MIN_LENGTH,
        metavar="PIXELS",
        help="shorter lines are left out",
    )
    add_bool(
        parser.add_argument_group("hed"),
        "--hed_scribble",
        False,
        "draw bold strokes instead of soft edges",
    )
    group = parser.add_argument_group("midas")
    what = "what to draw; normals in the channel order of published hints: z, y, x"
    group.add_argument("--midas_output", choices=("depth", "normal"), default="depth", help=what)
    group.add_argument(
        "--midas_a",
        type=positive_float,
        default=6.2,
        metavar="FLOAT",
        help="of the normals: the smaller, the steeper",
    )
    group.add_argument(
        "--midas_bg_th",
        type=fraction,
        default=0.4,
        metavar="FLOAT",
        help="normals face the viewer where the depth in [0, 1] is below it",
    )
    group = parser.add_argument_group("mlsd")
    group.add_argument(
        "--mlsd_thr_v",
        type=fraction,
        default=0.1,
        metavar="FLOAT",
        help="least probability of a line",
    )
    group.add_argument(
        "--mlsd_thr_d",
        type=non_negative_float,
        default=0.1,
        metavar="PIXELS",
        help="least length of a line, at half resolution",
    )
    add_bool(
        parser.add_argument_group("openpose (weights for non-commercial research only)"),
        "--openpose_hand",
        False,
        "draw hands too",
    )
    add_bool(
        parser.add_argument_group("uniformer"),
        "--uniformer_swap_channels",
        True,
        "show the network B, G, R as the published code does",
    )
    args = parser.parse_args(argv)
    for name in ("canny", "membrane"):
        if getattr(args, f"{name}_low") > getattr(args, f"{name}_high"):
            parser.error(f"--{name}_low is above --{name}_high")
    for key, value in vars(args).items():
        other = key.partition("_")[0]
        if other in DETECTORS and other != args.detector and value != parser.get_default(key):
            parser.error(f"--{key} has no effect on --detector {args.detector}")
    if args.weights_path and not DETECTORS[args.detector].weights:
        parser.error(f"--weights_path: {args.detector} needs no weights")
    return args


def main(argv=None):
    args = parse_args(argv)
    detector = DETECTORS[args.detector]
    paths = condition_paths(args.input, "edge")  # one file per stem, in natural order
    if args.output.resolve() == args.input.resolve():
        raise ValueError(f"--output {args.output}: is the --input folder. Name another one.")
    args.device = pick_device(args.device)
    settings = settings_of(args)
    before = recorded_weights(args.output, settings)
    sizes = check_images(paths)
    missing = {
        path: size
        for path, size in sizes.items()
        if not (args.output / f"{path.stem}.png").is_file()
    }
    print(
        f"{args.detector}: {len(paths)} images in {args.input}, {len(paths) - len(missing)} done already"
    )
    if missing:
        weights = find_all_weights(args)
        if before not in (None, weights):
            raise ValueError(
                f"--output {args.output}: was made with other weights. Name another folder."
            )
        detect = detector.make(args)
        args.output.mkdir(parents=True, exist_ok=True)
        with whole_file(args.output / RECORD) as temporary:
            temporary.write_text(
                json.dumps({"settings": settings, "weights": weights}, indent=2) + "\n"
            )
        draw_all(missing, args, detector, detect)
    (args.output / OVERVIEW).parent.mkdir(exist_ok=True)
    write_png(args.output / OVERVIEW, draw_overview(paths, args.output))
    print(f"wrote {args.output}, overview {args.output / OVERVIEW}")


if __name__ == "__main__":
    run_script(main)
