"""The recipes of docs/extending.md, performed on a copy of the project with the code they show."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from core.imaging.images import read_image, write_png
from core.imaging.labels import read_labels
from core.weights.checkpoints import save_weights

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "extending.md").read_text()
PACKAGES = (
    "annotator",
    "cldm",
    "conditions",
    "core",
    "fid",
    "generation",
    "ldm",
    "microscope",
    "runs",
    "segmentation",
    "training",
    "utils",
    "volumes",
)
MODULES = ("train.py", "generate.py", "dataset.py", "share.py", "config.py")
# File that a recipe changes -> (text, what takes its place), an import and a name each.
LINES = {
    "conditions/__init__.py": (
        ("from conditions.grey", "from conditions.distance import Distance\nfrom conditions.grey"),
        ("Depth, Normal)", "Depth, Normal, Distance)"),
    ),
    "ldm/samplers/__init__.py": (
        ("from ldm.samplers.sampler", "from ldm.samplers.heun import HEUN\n"
         "from ldm.samplers.sampler"),
        ("DPMPP.name: DPMPP,", "DPMPP.name: DPMPP,\n    HEUN.name: HEUN,"),
    ),
    "annotator/registry.py": (
        ("from annotator import canny,", "from annotator import canny, dark,"),
        ("OPENPOSE, UNIFORMER)\n", "OPENPOSE, UNIFORMER, dark.DETECTOR)\n"),
    ),
    "fid/backbones/__init__.py": (
        ("from fid.backbones.inception", "from fid.backbones.resnet18 import RESNET18\n"
         "from fid.backbones.inception"),
        ("CEM1_5M, TORCHVISION,", "CEM1_5M, RESNET18, TORCHVISION,"),
    ),
    "training/folder/output_options.py": (
        ('    "wandb": Deferred("training.folder.wandb_logger:wandb_logger"),\n',
         '    "wandb": Deferred("training.folder.wandb_logger:wandb_logger"),\n{line}'),
    ),
    "volumes/__init__.py": (
        (" mrc,", " mrc, npy,"),
        (" mrc.FORMAT,", " mrc.FORMAT, npy.FORMAT,"),
    ),
    "generation/exporting/layouts.py": (
        ("LAYOUTS = {", "{layout}\n\nLAYOUTS = {"),
        ('    "ome_zarr": OmeZarrLayout(),\n', '    "ome_zarr": OmeZarrLayout(),\n{lists}'),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the project with the files and lines of all recipes."""
    copy = tmp_path_factory.mktemp("extended")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in MODULES:
        shutil.copy(ROOT / name, copy / name)
    files = re.findall(r"File\s+`([^`]+)`:\n\n```python\n(.*?)```", RECIPES, re.S)
    assert len(files) == len(LINES) - 1  # one new file each, but for the layout
    for name, code in files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (copy / name).exists()
        (copy / name).write_text(code)
    (line,) = re.findall(r'```python\n(    "jsonl": .*?\n)```', RECIPES)
    (lists,) = re.findall(r'```python\n(    "lists": .*?\n)```', RECIPES)
    (layout,) = re.findall(r"```python\n(@dataclass\(frozen=True\)\nclass .*?)```", RECIPES, re.S)
    shown = {"{line}": line, "{lists}": lists, "{layout}": layout}
    for name, changes in LINES.items():
        source = (copy / name).read_text()
        for old, new in changes:
            assert source.count(old) == 1, f"{name}: {old}"
            for mark, code in shown.items():
                new = new.replace(mark, code)
            source = source.replace(old, new)
        (copy / name).write_text(source)
    return copy


@pytest.fixture(scope="module")
def run(extended):
    """Function that runs a program of the extended copy and returns what it prints."""

    def call(program, *words) -> str:
        environment = os.environ | {"PYTHONPATH": str(extended), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, program, *map(str, words)]
        done = subprocess.run(
            command, cwd=extended, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return call


def test_condition_logger_and_sampler(run, pairs, tmp_path, micro_yaml, micro_weights):
    """A branch learns distance maps, its losses go to JSON lines, Heun's method draws images."""
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for path in (pairs / "images").iterdir():
        write_png(_folder(pairs / "distances") / path.name, ramp)
    words = ["--image_path", pairs / "images", "--condition_type", "distance"]
    words += ["--condition_path", pairs / "distances", "--cldm_config_path", micro_yaml]
    words += ["--resume_path", micro_weights, "--gpus", 0, "--max_steps", 2, "--log_every", 1]
    run("train.py", *words, "--logger", "jsonl", "--output_root", tmp_path / "runs")
    (trained,) = (tmp_path / "runs").iterdir()
    lines = [json.loads(line) for line in (trained / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/loss_step" in line] == [0, 1]

    words = ["--config_yaml_path", micro_yaml, "--device", "cpu"]
    words += ["--branches", f"far=distance:{pairs / 'distances'}"]
    words += ["--branch_weights", f"far={trained / 'EM_best_results.ckpt'}"]
    words += ["--sampler", "heun", "--ddim_steps", 3, "--output_base_dir", tmp_path / "out"]
    words += ["--encode_ratio", 0.5, "--image_path", pairs / "images"]
    run("generate.py", *words)
    (made,) = (tmp_path / "out").glob("run_*")
    assert len(list((made / "images").glob("*.png"))) == 6
    assert len(list((made / "conditions" / "far").glob("*.png"))) == 6


def test_detector(run, pairs, tmp_path):
    words = ["--detector", "dark", "--dark_below", 100, "--output", tmp_path / "dark"]
    run("utils/annotate.py", "--input", pairs / "images", *words)
    for path in (pairs / "images").iterdir():
        grey = np.round(read_image(path)[..., 0] * 255)
        drawn = np.round(read_image(tmp_path / "dark" / path.name)[..., 0] * 255)
        assert np.array_equal(drawn, np.where(grey < 100, 255, 0))


def test_backbone(run, pairs, tmp_path):
    torch.manual_seed(0)
    save_weights(resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    words = ["--network", "resnet18", "--weights-path", tmp_path / "resnet18.safetensors"]
    words += ["--image-size", 32, "--num-workers", 0, "--bootstrap", 0, "--no-cache"]
    words += ["--output", tmp_path / "table"]
    run("utils/compare_folders.py", pairs / "images", "--generated", pairs / "masks", *words)
    assert "resnet18" in next((tmp_path / "table").glob("*.json")).read_text()


def test_volume_format(run, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 256, (3, 16, 24), np.uint8)
    np.save(tmp_path / "cell.npy", voxels)
    np.save(tmp_path / "labels.npy", voxels % 3)
    run(
        "utils/slices.py", tmp_path / "cell.npy", tmp_path / "out",
        "--labels", tmp_path / "labels.npy",
    )  # fmt: skip
    for z in range(3):
        image, mask = (
            read_labels(tmp_path / "out" / kind / f"cell_z{z}.png") for kind in ("images", "masks")
        )
        assert np.array_equal(image, voxels[z]) and np.array_equal(mask, voxels[z] % 3)


def test_layout(run, pairs, tmp_path, micro_yaml, micro_weights):
    words = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights]
    words += ["--mask_dir", pairs / "masks", "--device", "cpu", "--sampler", "dpmpp"]
    words += ["--ddim_steps", 1, "--output_base_dir", tmp_path / "runs"]
    words += ["--export_dataset", tmp_path / "set", "--export_layout", "lists"]
    run("generate.py", *words)
    lines = (tmp_path / "set" / "train.txt").read_text().splitlines()
    assert len(lines) == 6
    for name in "\t".join(lines).split("\t"):
        assert (tmp_path / "set" / name).is_file()
    assert (tmp_path / "set" / "labels.txt").read_text() == "background\nclass_1\nclass_2\n"


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path
