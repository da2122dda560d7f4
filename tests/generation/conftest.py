"""Runs that need no model."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from conditions import create_condition
from core.imaging.images import write_png
from generation.folder.image_line import IMAGE_OPTIONS
from generation.planning.branches import Branch
from generation.planning.plan import SamplePlan, match_conditions
from generation.run import Run

OPTIONS = {name: 0 for name in IMAGE_OPTIONS} | {"seed": 5, "num_classes": 3, "run_id": "x"}
OPTIONS |= {"n_augmentations_per_mask": 2, "num_shards": 1}


@pytest.fixture
def new_run(tmp_path):
    """Function to a run of two conditions, two images each, steered by masks and depth maps."""
    (tmp_path / "masks").mkdir()
    (tmp_path / "depth").mkdir()
    for i in range(2):
        write_png(tmp_path / "masks" / f"c{i}.png", np.full((8, 8), i, np.uint8))
        write_png(tmp_path / "depth" / f"c{i}.png", np.full((8, 8), 100 + i, np.uint8))

    def new_run(names=("mask", "d"), prompts=("a", "b"), weights="0f", **options):
        kinds = {"mask": ("segmentation", "masks"), "d": ("depth", "depth")}
        branches = [
            Branch(name, create_condition(kind), Path("w"), tmp_path / folder)
            for name in names
            for kind, folder in [kinds[name]]
        ]
        sets, _ = match_conditions([branch.list_files() for branch in branches])
        plan = SamplePlan(sets, [2] * len(sets), options.get("seed", 5), prompts)
        digests = dict.fromkeys(names, weights)
        return Run(
            tmp_path / "run", OPTIONS | options, plan, branches, lambda: digests, {"target": "x"}
        )

    return new_run


@pytest.fixture
def run_dir(tmp_path, pairs):
    """A finished run of two masks with two images each: coloured noise."""
    folder = tmp_path / "run_x"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    lines = []
    for k in range(4):
        name = f"image_cond{k // 2}_batch{k % 2 + 1}_sample0.png"
        write_png(
            folder / "images" / name,
            np.random.default_rng(k).integers(0, 256, (64, 64, 3), dtype=np.uint8),
        )
        source = pairs / "masks" / f"cell_{k // 2}.png"
        (folder / "masks" / name).write_bytes(source.read_bytes())
        lines.append(
            {
                "image": f"images/{name}",
                "mask": f"masks/{name}",
                "sources": {"mask": str(source)},
                "seed": 100 + k,
                "prompt": "a cell, grey",
            }
        )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def large_run(tmp_path):
    """A run of 48 slices of 640 x 640 pixels, all of level 100 and class 1."""
    folder, lines = tmp_path / "large", []
    pictures = {
        "images": np.full((640, 640, 3), 100, np.uint8),
        "masks": np.ones((640, 640), np.uint8),
    }
    for kind, pixels in pictures.items():
        (folder / kind).mkdir(parents=True)
        write_png(tmp_path / f"{kind}.png", pixels)
    for k in range(48):
        name = f"image_cond{k}_batch1_sample0.png"
        for kind in pictures:
            (folder / kind / name).hardlink_to(tmp_path / f"{kind}.png")
        lines.append(
            {"image": f"images/{name}", "mask": f"masks/{name}", "sources": {"mask": f"{k}.png"}}
        )
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def traced_peak():
    """Function to the most bytes that a function holds at once in Python objects and arrays."""

    def peak_of(work):
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return peak_of
