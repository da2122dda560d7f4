"""A function that generates with the micro model, and conditions for it."""

import numpy as np
import pytest

import generate
from core.imaging.images import write_png


@pytest.fixture
def run(micro_yaml, micro_weights, pairs, tmp_path):
    """Function that generates with further options.

    It returns the folder of the new run; None where there is no new one.
    """

    def run(*options, masks=pairs / "masks", output="out"):
        base = tmp_path / output
        words = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights]
        words += ["--output_base_dir", base, "--ddim_steps", 2, "--seed", 7, "--device", "cpu"]
        words += ["--mask_dir", masks] if masks else []
        before = set(base.glob("run_*"))
        generate.main([str(word) for word in [*words, *options]])
        new = set(base.glob("run_*")) - before
        return new.pop() if new else None

    return run


@pytest.fixture
def edges(pairs):
    """Folders `membrane` and `outline` beside the pairs: an edge map of each mask."""
    for name, step in (("membrane", 8), ("outline", 20)):
        (pairs / name).mkdir()
        for i in range(6):
            picture = np.zeros((64, 64), np.uint8)
            picture[i::step] = 255
            write_png(pairs / name / f"cell_{i}.png", picture)
    return pairs


@pytest.fixture
def edge_options(edges, branch_weights):
    """Words that name two edge branches."""
    names = ("membrane", "outline")
    weights = [f"{name}={branch_weights(name, 3)}" for name in names]
    folders = [f"{name}={edges / name}" for name in names]
    return ["--edge_model_paths", *weights, "--edge_dirs", *folders]


@pytest.fixture
def maps(pairs):
    """Folders `depth` and `normal` beside the pairs."""
    for name in ("depth", "normal"):
        (pairs / name).mkdir()
    rows, columns = np.mgrid[:64, :64].astype(np.uint8)
    for i in range(6):
        write_png(pairs / "depth" / f"cell_{i}.png", rows * 3 + i)
        colours = np.dstack([np.full_like(rows, 255), rows * 2, columns * 2 + i])
        write_png(pairs / "normal" / f"cell_{i}.png", colours)
    return pairs
