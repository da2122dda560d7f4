"""Building of RGBA tensors from images and masks: the files that `conditions.rgba` reads.

One job is one image. It stands for itself, so jobs can run in any order and in several processes,
and a build that was killed goes on with the files that are missing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from conditions.rgba import read_meta, read_rgba, write_rgba
from conditions.rgba_tensors import (
    SUMS,
    TensorOptions,
    build_rgba,
    describe,
    difference_of_notes,
)
from conditions.segmentation import read_mask
from core.checks import picture_flaw
from core.command_line.options import non_negative_int, option
from core.files import sha256_of
from core.imaging.images import list_images, read_image, write_png
from core.imaging.pairing import find_partners, stem_of
from core.imaging.pictures import class_colours, tile

FORMATS = ("npz", "png")

DrawEdges = Callable[[Path], np.ndarray]  # picture file -> uint8 (H, W), 0 or 255


@dataclass(frozen=True)
class BuildOptions:
    """Rules by which files are paired and written."""

    resize_masks: bool = option(
        False, bool, help="fit masks of another size to their images, without interpolation"
    )
    keep_folders: bool = option(
        False,
        bool,
        help="pair files within equal sub-folders and keep these; otherwise equal stems are an "
        "error",
    )
    fmt: tuple[str, ...] = option(
        ("npz",), help="formats to write; both hold the same tensor", choices=FORMATS, nargs="+"
    )
    preview_max: int = option(32, non_negative_int, "INT", "number of previews")
    overwrite: bool = option(False, bool, help="make files that exist again")


class TensorJob(NamedTuple):
    """One image to work on.

    Attributes:
        name: of the files to write, without suffix; with a sub-folder where these are kept.
        preview: picture to write for people to look at; None for none.
    """

    image: Path
    mask: Path
    name: Path
    preview: Path | None


class TensorResult(NamedTuple):
    """Outcome of a job.

    Attributes:
        made: whether a file was made; False where all exist already.
        classes: in the mask, where it was read.
        problem: what is wrong with the input.
    """

    made: bool
    classes: frozenset[int] = frozenset()
    problem: Exception | None = None


def summary_of(results: Iterable[TensorResult]) -> tuple[int, set[int], list[Exception]]:
    """Number of files that were made, all classes, and all problems."""
    made, classes, problems = 0, set(), []
    for result in results:
        made += result.made
        classes |= result.classes
        if result.problem:
            problems.append(result.problem)
    return made, classes, problems


# Pairs


def by_folder(paths: Iterable[Path], top: Path, keep_folders: bool) -> dict[Path, list[Path]]:
    """Files by their folder relative to `top`; all in one where folders are not kept."""
    folders = defaultdict(list)
    for path in paths:
        folders[path.relative_to(top).parent if keep_folders else Path()].append(path)
    return folders


def find_jobs(
    image_dir: Path, mask_dir: Path, preview_dir: Path, options: BuildOptions
) -> tuple[list[TensorJob], list[Path]]:
    """Jobs for the images that have a mask, and the names of the images that have none.

    Both folders are searched with their sub-folders.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        RuntimeError: two files would give one tensor, or no image has a mask.
    """
    images, masks = (
        by_folder(list_images(folder, recursive=True), folder, options.keep_folders)
        for folder in (image_dir, mask_dir)
    )
    jobs, missing = [], []
    for folder, here in images.items():  # one folder, `.`, where sub-folders are not kept
        try:
            partners = find_partners(here, masks.get(folder, []))
        except RuntimeError as error:
            remedy = "" if options.keep_folders else ", or keep the folders apart"
            raise RuntimeError(f"{error}{remedy}") from error
        for image in here:
            name = folder / stem_of(image)
            if image in partners:
                preview = preview_dir / f"{name}.png" if len(jobs) < options.preview_max else None
                jobs.append(TensorJob(image, partners[image], name, preview))
            else:
                missing.append(name)
    if not jobs:
        raise RuntimeError(
            f"{mask_dir}: no mask for any of the {len(missing)} images of {image_dir}. "
            "Give both files of a pair the same stem"
        )
    return jobs, missing


def read_pair(
    job: TensorJob, num_classes: int, resize_masks: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Picture, float (H, W, 3) in [0, 1], and class indices (H, W).

    Args:
        resize_masks: fit a mask of another size, without interpolation.
    Raises:
        RuntimeError: the sizes differ and `resize_masks` is false.
    """
    picture, labels = read_image(job.image), read_mask(job.mask, num_classes)
    (height, width), (mask_height, mask_width) = picture.shape[:2], labels.shape
    if (mask_height, mask_width) == (height, width):
        return picture, labels
    if not resize_masks:
        raise RuntimeError(
            f"{job.mask} is {mask_width} x {mask_height} but {job.image} is {width} x {height} "
            "pixels (width x height). Correct it, or have masks resized"
        )
    nearest = cv2.INTER_NEAREST_EXACT  # INTER_NEAREST shifts by half a pixel
    return picture, cv2.resize(labels.astype(np.uint8), (width, height), interpolation=nearest)


def run_job(
    job: TensorJob,
    folder: Path,
    tensor: TensorOptions,
    options: BuildOptions,
    draw_edges: DrawEdges,
) -> TensorResult:
    """Make one image's files: the preview, then the tensor; a bad input does not raise.

    The other jobs go on, and all problems are reported together.
    """
    paths = [folder / f"{job.name}.{kind}" for kind in options.fmt]
    try:
        files = (job.image, job.mask)
        meta = describe(*files, tensor, dict(zip(SUMS, map(sha256_of, files), strict=True)))
        todo = _missing_files(paths, meta, options.overwrite)
        draw = job.preview and (options.overwrite or picture_flaw(job.preview))
        if not todo and not draw:
            return TensorResult(made=False)
        picture, labels = read_pair(job, tensor.num_mask_classes, options.resize_masks)
        edges = draw_edges(job.image)  # uint8 (H, W)
        if draw:
            _write_preview(job.preview, picture, labels, edges)
        for path in todo:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rgba(path, build_rgba(labels, edges, tensor.beta_edge), meta)
    except (ValueError, RuntimeError, OSError) as error:
        # Not raised: an error in a worker would end all jobs.
        return TensorResult(made=False, problem=error)
    return TensorResult(made=True, classes=frozenset(np.unique(labels).tolist()))


def _missing_files(paths: list[Path], meta: str, overwrite: bool) -> list[Path]:
    """Those of `paths` that are to be written; all of them with `overwrite`.

    Raises:
        RuntimeError: a file that is to be kept has another note than `meta`, or is damaged.
    """
    todo = [path for path in paths if overwrite or not path.exists()]
    for path in paths:
        if path in todo:
            continue
        try:
            note = read_meta(path)
            read_rgba(path)
        except ValueError as error:
            raise RuntimeError(
                f"{path}: is there and damaged ({error}). Remove it, or overwrite it"
            ) from error
        if difference := difference_of_notes(note, meta):
            raise RuntimeError(
                f"{path}: is there and {difference}. Overwrite it, or build into another folder"
            )
    return todo


def _write_preview(path: Path, picture: np.ndarray, labels: np.ndarray, edges: np.ndarray) -> None:
    """Write image, class colours and edges side by side; arrays as `read_pair` and edges give."""
    shown = np.repeat(edges[..., None], 3, axis=2) / 255  # (H, W, 3) in [0, 1]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, tile([[picture, class_colours(labels), shown]]))
