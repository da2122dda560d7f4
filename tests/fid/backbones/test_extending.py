"""The recipe of docs/extending.md for a backbone, carried out on a copy of fid/."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from torchvision.models import resnet18

from tests.weights import fill_parameters

ROOT = Path(__file__).parents[3]


def test_a_backbone_is_a_file_and_a_line(image_folders, tmp_path):
    recipe = (ROOT / "docs/extending.md").read_text().partition("## A FID backbone")[2]
    (code,) = re.findall(r"```python\n(.*?)```", recipe.partition("\n## ")[0], re.DOTALL)
    house = tmp_path / "house"
    shutil.copytree(ROOT / "fid", house / "fid", ignore=shutil.ignore_patterns("*.pth*"))
    (house / "fid/backbones/resnet18.py").write_text(code)
    registry = house / "fid/backbones/__init__.py"
    entries = registry.read_text().replace("(CEM500K, ", "(RESNET18, CEM500K, ")
    registry.write_text(f"from fid.backbones.resnet18 import RESNET18\n{entries}")

    weights = tmp_path / "resnet18.pth"
    torch.save(fill_parameters(resnet18()).state_dict(), weights)
    folders = [image_folders / "real", "--generated", image_folders / "generated"]
    options = ["--network", "resnet18", "--weights-path", weights, "--output", tmp_path / "table"]
    fixed = "--image-size 32 --num-workers 0 --device cpu --no-cache --bootstrap 0".split()
    command = [sys.executable, "fid/compare_folders.py", *folders, *options, *fixed]
    path = os.pathsep.join([str(house), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=house, env=environment, check=True)
    table = (tmp_path / "table/table.md").read_text()
    assert "6 real images" in table and "resnet18, weights" in table
