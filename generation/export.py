"""A finished run as a data set for segmentation: `images/` and `masks/` with equal names, and `splits.csv`, which says what each pair is.

All images are 8-bit PNGs of the same number of channels, all masks 8-bit class indices. Every pair is of the split `train`: generated images
show the masks they were made from, so none may end up in a test set, nor in training beside a test image of its mask. Pairs that
share a mask share the column `group`; a later split keeps groups together.
"""

import csv
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile

import numpy as np
from tqdm import tqdm

from conditions import ConditionOptions, create_condition
from conditions.segmentation import read_mask
from core.files import whole_folder
from core.images import LUMA, read_image, write_png
from core.signals import StopRequest
from dataset import Pair, check_pairs, find_pairs
from generation.run_folder import MANIFEST

COLUMNS = ("file", "split", "source", "group", "condition", "seed", "prompt")


def check_export(folder: Path, real: Sequence[Path] | None, num_classes: int) -> list[Pair]:
    """Real pairs to include; everything that would stop the export is found before anything slow happens.

    Args:
        real: folders of images and of masks.
    Raises:
        FileExistsError: `folder` holds something already.
        OSError, ValueError, RuntimeError: it cannot be written, or the real files are not sound pairs.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(
            f"--export_dataset {folder}: exists and is not an empty folder. Name a new one."
        )
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise PermissionError(
            f"--export_dataset {folder}: nothing can be written to {parent}. Name another place."
        )
    if not real:
        return []
    pairs = find_pairs(*real)
    check_pairs(pairs, create_condition("segmentation", ConditionOptions(num_classes)))
    return pairs


def is_grey(path: Path) -> bool:
    pixels = read_image(path)
    return bool((pixels == pixels[..., :1]).all())


def export_dataset(folder: Path, run_dir: Path, pairs: Sequence[Pair], num_classes: int) -> int:
    """Write real and generated pairs to `folder`, whole or not at all; how many they are.

    Where all real images are grey, generated ones become grey too, so that no colour cast tells them apart.

    Raises:
        KeyboardInterrupt: the process was asked to end.
    """
    lines = [json.loads(line) for line in (run_dir / MANIFEST).read_text().splitlines()]
    rows = [("real", f"real_{pair.image.stem}.png", pair, None) for pair in pairs]
    rows += [("synthetic", f"synth_{Path(line['image']).stem.removeprefix('image_')}.png", Pair(run_dir / line["image"], run_dir / line["mask"]), line)
             for line in lines]  # fmt: skip
    with (
        whole_folder(folder) as temporary,
        StopRequest() as stop,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        grey = bool(pairs) and all(pool.map(is_grey, [pair.image for pair in pairs]))

        def write(row):
            source, name, pair, _ = row
            if stop:
                raise KeyboardInterrupt
            if source == "synthetic" and not grey:
                copyfile(pair.image, temporary / "images" / name)
            else:
                pixels = read_image(pair.image) * 255
                write_png(
                    temporary / "images" / name,
                    (pixels @ LUMA if grey else pixels).round().astype(np.uint8),
                )
            write_png(
                temporary / "masks" / name, read_mask(pair.condition, num_classes).astype(np.uint8)
            )

        for kind in ("images", "masks"):
            (temporary / kind).mkdir()
        for _ in tqdm(
            pool.map(write, rows), total=len(rows), desc="export", unit="pair", leave=False
        ):
            pass
        with open(temporary / "splits.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for source, name, pair, line in rows:
                condition = Path(next(iter(line["sources"].values()))) if line else pair.condition
                seed, prompt = (line["seed"], line["prompt"]) if line else ("", "")
                table.writerow((name, "train", source, condition.stem, condition, seed, prompt))
    return len(rows)
