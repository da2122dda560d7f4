"""Imports point downwards only: scripts, then generation, then dataset, share, config, cldm, fid and annotator, then ldm and utils.

fid and annotator stand beside cldm: of it they take how checkpoints are read and written, of ldm what is about files and arrays.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ("train", "generate", "tool_add_control")
MIDDLE = ("dataset", "share", "config", "cldm", "annotator", "fid")
BOTTOM = ("ldm", "utils")
LEFT_OUT = ("tests", ".venv", ".git")


def python_files():
    return [path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")) if not set(path.relative_to(ROOT).parts) & set(LEFT_OUT)]


def runs_as_script(tree: ast.Module) -> bool:
    """Whether a file ends in `if __name__ == "__main__":`."""
    return any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body)


def may_import(path: Path, tree: ast.Module) -> set[str]:
    """Those of our packages and modules that the file at `path`, relative to the root, may import."""
    top = path.parts[0].removesuffix(".py")
    if top == "ldm":
        return {"ldm"}
    if top == "utils":
        # scripts prepare conditions too, with the detectors, and look at what was generated
        return {"ldm", "utils", "dataset", "cldm", "share", "annotator", "generation"} if runs_as_script(tree) else {"ldm", "utils"}
    if top in ("fid", "annotator"):
        shared = {top, "utils", "ldm.data", "cldm.model", "cldm.checkpoints", "cldm.progress"}
        return shared | {"share", "cldm"} if runs_as_script(tree) else shared
    if top == "generation":
        return {"generation", *MIDDLE, *BOTTOM}
    if top in MIDDLE:
        return {*MIDDLE, *BOTTOM} - {"fid", "annotator"}
    return {"generation", *MIDDLE, *BOTTOM}


def import_faults(path: Path, source: str) -> list[str]:
    """What the file imports and may not, star imports included."""
    tree = ast.parse(source)
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else [path.parts[0]]
            if any(alias.name == "*" for alias in node.names):
                faults.append(f"{path}:{node.lineno}: from {node.module} import *")
        else:
            continue
        for name in names:
            package = name.partition(".")[0]
            if name.startswith("fid.compute_"):
                faults.append(f"{path}:{node.lineno}: imports the script {name}")
            allowed = any(f"{name}.".startswith(f"{one}.") for one in may_import(path, tree))
            if package in (*SCRIPTS, "generation", *MIDDLE, *BOTTOM) and not allowed:
                faults.append(f"{path}:{node.lineno}: imports {name}")
    return faults


def test_every_file_keeps_the_rule():
    files = python_files()
    assert {"ldm", "cldm", "utils", "dataset.py"} <= {path.parts[0] for path in files}
    assert [fault for path in files for fault in import_faults(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ldm/util.py", "import cldm.model"),
        ("ldm/modules/attention.py", "def f():\n    from cldm.cldm import ControlNet"),
        ("ldm/data/files.py", "from utils.options import positive_int"),
        ("cldm/logger.py", "from generate import main"),
        ("cldm/model.py", "import fid.statistics as s"),
        ("dataset.py", "import train"),
        ("train.py", "import generate"),
        ("cldm/logger.py", "from generation.plan import Sample"),
        ("generation/plan.py", "import generate"),
        ("fid/compute_cem_fid.py", "from ldm.util import instantiate_from_config"),
        ("fid/compute_cem_fid.py", "from fid.compute_normal_fid import main"),
        ("annotator/util.py", "from cldm.sampling import to_pixels"),
        ("fid/images.py", "from share import run_script"),
        ("utils/options.py", "from dataset import PROMPTS"),
        ("utils/options.py", "from annotator.canny import CannyDetector"),
        ("utils/build.py", "import train\nif __name__ == '__main__':\n    train.main()"),
        ("utils/build.py", "from numpy import *"),
    ],
)
def test_faults_are_found(path, source):
    assert len(import_faults(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("ldm/models/autoencoder.py", "import torch\nfrom ldm.util import instantiate_from_config\nfrom datasets import x"),
        ("cldm/logger.py", "from ldm.data.files import write_png\nfrom cldm.sampling import to_pixels"),
        ("fid/images.py", "from ldm.data.files import read_image\nfrom cldm.model import load_state_dict"),
        ("generate.py", "from cldm.model import create_model\nfrom dataset import PROMPTS\nfrom fid import statistics"),
        ("utils/build.py", "from dataset import PROMPTS\nif __name__ == '__main__':\n    print(PROMPTS)"),
    ],
)
def test_imports_that_are_fine(path, source):
    assert import_faults(Path(path), source) == []
