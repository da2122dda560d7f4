"""Put masks and Canny edges together as RGBA tensors, the conditions of `--condition_type rgba`.

    python utils/build_rgba_dataset.py --img_dir data/train/images --mask_dir data/train/masks --dest_dir data_rgba/train

writes `data_rgba/train/100_200/`, named after the thresholds: of each image `<stem>.npz` with the class planes in R, G, B and the edges in A.
A file that is there and was made in the same way is kept, so a build that was killed goes on where it was.
"""

import argparse
import json
import os
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from annotator.canny import edges_of_file
from conditions.rgba import CLASS_PLANES
from conditions.segmentation import one_hot, read_mask
from core.files import remove_leftovers, whole_file
from core.images import list_images, read_image, write_png
from core.options import non_negative_float, non_negative_int, positive_int
from core.pairing import find_partners
from core.pictures import class_colours, tile
from core.workers import in_workers
from dataset import raise_first
from share import run_script

FORMATS = ("npz", "png")
MISSING = "missing_masks.txt"
PREVIEW = "preview"


class Job(NamedTuple):
    """One image to work on; `name` is that of its files, without suffix: the stem, in its sub-folder where these are kept."""

    image: Path
    mask: Path
    name: Path
    preview: Path | None


# Pairs


def by_folder(paths: Iterable[Path], top: Path, keep_folders: bool) -> dict[Path, list[Path]]:
    """Files by their folder relative to `top`; all in one where folders are not kept."""
    folders = defaultdict(list)
    for path in paths:
        folders[path.relative_to(top).parent if keep_folders else Path()].append(path)
    return folders


def find_jobs(args: argparse.Namespace, preview_dir: Path) -> tuple[list[Job], list[Path]]:
    """The images that have a mask, and the names of those that have none.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        RuntimeError: two files would give one tensor, or no image has a mask.
    """
    images = by_folder(list_images(args.img_dir, recursive=True), args.img_dir, args.keep_folders)
    masks = by_folder(list_images(args.mask_dir, recursive=True), args.mask_dir, args.keep_folders)
    jobs, missing = [], []
    for folder, here in images.items():
        try:
            partners = find_partners(here, masks.get(folder, []))
        except RuntimeError as error:
            raise RuntimeError(
                f"{error}" + ("" if args.keep_folders else ", or use --keep_folders")
            ) from error
        for image in here:
            name = folder / image.stem
            if image in partners:
                preview = preview_dir / f"{name}.png" if len(jobs) < args.preview_max else None
                jobs.append(Job(image, partners[image], name, preview))
            else:
                missing.append(name)
    if not jobs:
        raise RuntimeError(
            f"{args.mask_dir}: no mask for any of the {len(missing)} images of {args.img_dir}. Give both files of a pair the same stem"
        )
    return jobs, missing


# Tensors


def build_rgba(labels: np.ndarray, edges: np.ndarray, beta_edge: float) -> np.ndarray:
    """Class indices (H, W) and edges uint8 (H, W) as float32 (H, W, 4) in [0, 1].

    Alpha is rounded to 8 bits, so that both formats hold the same tensor.
    """
    alpha = (edges * beta_edge).clip(0, 255).round().astype(np.float32) / 255
    return np.concatenate([one_hot(labels, CLASS_PLANES), alpha[..., None]], axis=2)


def write_rgba(path: Path, rgba: np.ndarray, meta: str) -> None:
    """Write a tensor, (H, W, 4) in [0, 1], as .npz in [-1, 1] or as an 8-bit .png, with `meta` in it."""
    if path.suffix == ".png":
        write_png(path, (rgba * 255).round().astype(np.uint8), {"meta": meta})
        return
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, rgba=rgba * 2 - 1, meta=meta)


def read_meta(path: Path) -> str | None:
    """The note that `write_rgba` left; None where the file does not tell."""
    try:
        if path.suffix == ".png":
            with Image.open(path) as image:
                return image.info.get("meta")
        with np.load(path, allow_pickle=False) as archive:
            return str(archive["meta"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def read_pair(job: Job, num_classes: int, resize_masks: bool) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) in [0, 1] and class indices (H, W), these resized without interpolation where that is allowed.

    Raises:
        RuntimeError: the sizes differ.
    """
    picture, labels = read_image(job.image), read_mask(job.mask, num_classes)
    (height, width), (mask_height, mask_width) = picture.shape[:2], labels.shape
    if (mask_height, mask_width) == (height, width):
        return picture, labels
    if not resize_masks:
        sizes = f"{job.mask} is {mask_width} x {mask_height} but {job.image} is {width} x {height} pixels (width x height)"
        raise RuntimeError(f"{sizes}. Correct it, or use --resize_masks")
    return picture, cv2.resize(
        labels.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )


def work(job: Job, folder: Path, args: argparse.Namespace) -> bool | Exception:
    """Make one image's files, those of the tensor last; False where they are all there, else True or what is wrong with the input."""
    meta = json.dumps(
        {
            "image_path": str(job.image),
            "mask_path": str(job.mask),
            "value_range": "neg_one_to_one",  # of the .npz; a .png has the 8 bits of its kind
            "canny_low": args.canny_low,
            "canny_high": args.canny_high,
            "beta_edge": args.beta_edge,
        }
    )
    paths = [folder / f"{job.name}.{kind}" for kind in args.fmt]
    try:
        todo = [path for path in paths if args.overwrite or not path.exists()]
        other = [path for path in paths if path not in todo and read_meta(path) != meta]
        if other:
            raise RuntimeError(
                f"{other[0]}: is there and was made from other files or options. Use --overwrite, or another --dest_dir"
            )
        draw = job.preview and (args.overwrite or not job.preview.exists())
        if not todo and not draw:
            return False
        picture, labels = read_pair(job, args.num_mask_classes, args.resize_masks)
        edges = edges_of_file(job.image, args.canny_low, args.canny_high)
        if draw:
            shown = np.repeat(edges[..., None], 3, axis=2) / 255
            job.preview.parent.mkdir(parents=True, exist_ok=True)
            write_png(job.preview, tile([[picture, class_colours(labels), shown]]))
        for path in todo:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rgba(path, build_rgba(labels, edges, args.beta_edge), meta)
    except (ValueError, RuntimeError, OSError) as error:
        return error
    return True


# Script


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    inputs = parser.add_argument_group(
        "input",
        f"searched recursively; a mask has the stem of its image, or its numbers; {MISSING} lists images without",
    )
    inputs.add_argument("--img_dir", type=Path, required=True, metavar="DIR", help="images")
    inputs.add_argument(
        "--mask_dir", type=Path, required=True, metavar="DIR", help="masks of class indices"
    )
    inputs.add_argument("--num-mask-classes", "--num_classes", type=positive_int, default=CLASS_PLANES, metavar="INT",
                        help="classes of the masks, at most 3")  # fmt: skip
    inputs.add_argument(
        "--resize_masks",
        action="store_true",
        help="fit masks of another size to their images, without interpolation",
    )
    inputs.add_argument(
        "--keep_folders",
        action="store_true",
        help="pair files within equal sub-folders and keep these; otherwise equal stems are an error",
    )
    edges = parser.add_argument_group("edges")
    edges.add_argument(
        "--canny-low",
        type=non_negative_int,
        default=100,
        metavar="INT",
        help="threshold where an edge ends",
    )
    edges.add_argument(
        "--canny-high",
        type=non_negative_int,
        default=200,
        metavar="INT",
        help="threshold where an edge starts",
    )
    edges.add_argument(
        "--beta-edge",
        type=non_negative_float,
        default=1.0,
        metavar="FLOAT",
        help="factor of the edges, clipped to 1 and rounded to 8 bits",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--dest_dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the folder <low>_<high> is made",
    )
    output.add_argument(
        "--fmt",
        choices=FORMATS,
        nargs="+",
        default=["npz"],
        help="formats to write; both hold the same tensor",
    )
    output.add_argument(
        "--preview_dir",
        type=Path,
        metavar="DIR",
        help=f"pictures of image, mask and edges; {PREVIEW}/ beside the tensors when not given",
    )
    output.add_argument(
        "--preview-max", type=non_negative_int, default=32, metavar="INT", help="how many of them"
    )
    output.add_argument("--overwrite", action="store_true", help="make files that are there again")
    output.add_argument(
        "--num_workers",
        type=non_negative_int,
        default=len(os.sched_getaffinity(0)),
        metavar="INT",
        help="processes; 0 works in this one",
    )
    args = parser.parse_args(argv)
    if args.num_mask_classes > CLASS_PLANES:
        parser.error(
            f"--num-mask-classes {args.num_mask_classes}: R, G and B hold {CLASS_PLANES} class planes. Merge classes, "
            "or train a mask and an edge branch and generate with both (--generation_mode mask_and_edge)"
        )
    if args.canny_low > args.canny_high:
        parser.error("--canny-low is above --canny-high")
    for option, folder in (("--img_dir", args.img_dir), ("--mask_dir", args.mask_dir)):
        if args.dest_dir.resolve().is_relative_to(folder.resolve()):
            parser.error(
                f"--dest_dir {args.dest_dir} is inside {option} {folder}, which is searched for images"
            )
    return args


def main(argv=None):
    args = parse_args(argv)
    folder = args.dest_dir / f"{args.canny_low}_{args.canny_high}"
    jobs, missing = find_jobs(args, args.preview_dir or folder / PREVIEW)
    folder.mkdir(parents=True, exist_ok=True)
    made, problems = 0, []
    results = in_workers(partial(work, folder=folder, args=args), jobs, args.num_workers)
    for result in tqdm(results, total=len(jobs), desc="rgba tensors", unit="image", leave=False):
        if isinstance(result, Exception):
            problems.append(result)
        else:
            made += result
    remove_leftovers(folder)
    (folder / MISSING).unlink(missing_ok=True)
    if missing:
        with whole_file(folder / MISSING) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in missing))
    raise_first(problems)
    print(f"{folder}: {len(jobs)} tensors, {len(jobs) - made} there already")
    if missing:
        print(f"{len(missing)} images have no mask; {folder / MISSING} lists them")


if __name__ == "__main__":
    run_script(main)
