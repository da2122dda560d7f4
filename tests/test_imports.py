"""Imports point downwards only, from a row of `ROWS` to the rows below it or to the same package.

A file that ends in `if __name__ == "__main__":` is a program, wherever it lies. Programs may import
everything below them, and nothing imports a program. `utils` and `benchmarks` know nothing of each
other.
"""

import ast
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = (
    {"utils", "benchmarks"},
    {"share", "runs"},
    {"training", "generation"},
    {"segmentation", "dataset"},
    {"conditions", "fid", "annotator", "microscope", "volumes"},
    {"cldm"},
    {"ldm"},
    {"core", "config"},
)
OURS = set().union(*ROWS)
PROGRAM = -1  # the row above all others
QUESTIONS = ("What ", "How ", "Whether ", "Where ", "Which ")
LEFT_OUT = ("tests", ".venv", ".git")


def python_files() -> dict[Path, str]:
    """Source by path relative to the repository; links are further names of the same files."""
    words = ["git", "ls-files", "-z", "--", "*.py"]
    try:  # folders of the user's own do not count
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or a folder that it does not trust
        found = ROOT.rglob("*.py")
    paths = [
        path
        for path in found
        if not set(path.relative_to(ROOT).parts) & {*LEFT_OUT}
        and path.is_file()
        and not path.is_symlink()
    ]
    return {path.relative_to(ROOT): path.read_text() for path in sorted(paths)}


def is_program(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in tree.body
    )


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def row_of(name: str, programs: set[str]) -> int | None:
    """Row of a module by its dotted name; None for a library."""
    if name in programs:
        return PROGRAM
    package = name.partition(".")[0]
    return next((i for i, row in enumerate(ROWS) if package in row), None)


def imported(tree: ast.Module, deferred: bool = True):
    """(line, dotted names) of every import: `from a import b` may mean the module a or a.b.

    Args:
        deferred: whether a deferred function imports its module too.
    """
    for node in ast.walk(tree):
        if deferred and isinstance(node, ast.Call) and ast.unparse(node.func) == "Deferred":
            yield node.lineno, {node.args[0].value.partition(":")[0]}
        if isinstance(node, ast.Import):
            yield from ((node.lineno, {alias.name}) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from ((node.lineno, {node.module, f"{node.module}.{a.name}"}) for a in node.names)


def import_faults(path: Path, source: str, programs: set[str]) -> list[str]:
    """What the file imports and may not, star imports included."""
    tree = ast.parse(source)
    own = PROGRAM if is_program(tree) else row_of(module_name(path), programs)
    faults = []
    for line, names in imported(tree):
        rows = {row_of(name, programs) for name in names} - {None}
        same_package = {name.partition(".")[0] for name in names} == {
            path.parts[0].removesuffix(".py")
        }
        fine = all(row > own or (same_package and row == own != PROGRAM) for row in rows)
        fine &= same_package or path.parts[0] not in ROWS[0] or 0 not in rows  # also of programs
        if not fine or any(name.endswith(".*") for name in names):
            faults.append(f"{path}:{line}: imports {min(names)}")
    return faults


def test_every_file_keeps_the_rule():
    files = python_files()
    assert {path.parts[0].removesuffix(".py") for path in files} >= OURS
    programs = {
        module_name(path) for path, source in files.items() if is_program(ast.parse(source))
    }
    assert {"train", "generate", "tool_add_control", "fid.compute_cem_fid"} <= programs
    faults = [
        fault for path, source in files.items() for fault in import_faults(path, source, programs)
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/files.py", "from ldm.util import instantiate_from_config"),
        ("ldm/util.py", "import cldm.model"),
        ("ldm/modules/attention.py", "def f():\n    from cldm.cldm import ControlNet"),
        ("cldm/logger.py", "from dataset import MyDataset"),
        ("conditions/grey.py", "from annotator.canny import CannyDetector"),
        ("fid/images.py", "from share import run_script"),
        ("generation/planning/plan.py", "from training.data.batches import SeededBatches"),
        ("generation/planning/plan.py", "import generate"),
        ("fid/scoring.py", "from fid.compute_cem_fid import main"),
        ("utils/plan.py", "import train\nif __name__ == '__main__':\n    train.main()"),
        ("utils/draw.py", "from benchmarks.maps import x\nif __name__ == '__main__':\n    x()"),
        ("benchmarks/gpu.py", "from utils.plan import x\nif __name__ == '__main__':\n    x()"),
        ("core/imaging/images.py", "from numpy import *"),
        ("ldm/util.py", "Deferred('cldm.model:create_model')"),
    ],
)
def test_faults_are_found(path, source):
    programs = {"train", "generate", "fid.compute_cem_fid"}
    assert len(import_faults(Path(path), source, programs)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "core/imaging/images.py",
            "import torch\nfrom core.files import whole_file\nfrom datasets import x",
        ),
        (
            "cldm/logger.py",
            "from core.imaging.images import write_png\nfrom cldm.sampling import to_pixels",
        ),
        ("training/step/module.py", "from fid.validation import ValidationFid"),
        (
            "generate.py",
            "from share import run_script\nif __name__ == '__main__':\n    run_script()",
        ),
    ],
)
def test_imports_that_are_fine(path, source):
    assert import_faults(Path(path), source, {"train", "generate"}) == []


def test_packages_are_silent():
    """Programs print. Packages report what they do; cldm prints where the published code does."""
    command_lines = {"fid/score_script.py", "fid/pretraining/script.py"}
    printing = [
        f"{path}:{node.lineno}"
        for path, source in python_files().items()
        if path.parts[0] not in ("cldm", "share.py") and path.as_posix() not in command_lines
        for tree in [ast.parse(source)]
        if not is_program(tree)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert printing == []


def test_image_options_are_applied_wherever_they_are_offered():
    offered = {
        path
        for path, source in python_files().items()
        if "    add_image_options(parser)\n" in source and path.parts[0] != "tests"
    }
    applied = {
        path
        for path, source in python_files().items()
        if "    read_options(ImageOptions, args).apply()\n" in source
    }
    assert offered == applied and len(offered) > 20


def rooms_used(files: dict[Path, str]) -> dict[str, set[str]]:
    """The rooms of its own package that each room imports: `generation.drawing`, `core.files`."""
    names = {module_name(path) for path in files}
    used = {}
    for path, source in files.items():
        package, _, rest = module_name(path).partition(".")
        if not rest or is_program(ast.parse(source)):  # programs stand above
            continue
        room = f"{package}.{rest.partition('.')[0]}"
        # Registries name what stands on them, and load it later.
        for _, found in imported(ast.parse(source), deferred=False):
            module = max(found & names, key=len, default="")
            if module.startswith(f"{package}."):
                used.setdefault(room, set()).add(".".join(module.split(".")[:2]))
        used.get(room, set()).discard(room)
    return used


def test_rooms_of_a_package_import_each_other_one_way_only():
    TopologicalSorter(rooms_used(python_files())).prepare()  # raises CycleError


def test_a_circle_of_rooms_is_found():
    circle = {
        Path("generation/drawing/loop.py"): "from generation.run import Run",
        Path("generation/run.py"): "from generation.drawing.gate import Gate",
        Path("generation/drawing/gate.py"): "",
    }
    with pytest.raises(CycleError):
        TopologicalSorter(rooms_used(circle)).prepare()


def test_docstrings_begin_with_a_noun_phrase_or_an_imperative():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    questions = [
        f"{path}: {text}"
        for path, source in python_files().items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, kinds)
        and (text := (ast.get_docstring(node) or "").split("\n")[0]).startswith(QUESTIONS)
    ]
    assert questions == []


def test_a_package_that_lists_its_modules_lists_them_all():
    forgotten = []
    for package in python_files():
        if package.name != "__init__.py" or package.parts[0] == "utils":
            continue
        text = ast.get_docstring(ast.parse((ROOT / package).read_text())) or ""
        if "\n- `" not in text:  # no list
            continue
        folder = (ROOT / package).parent
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        packages = {path.parent.name for path in folder.glob("*/__init__.py")}
        if package.parts[0] == "annotator":  # one for each detector, which the registry lists
            packages = set()
        names = sorted(name for name in modules | packages if f"`{name}`" not in text)
        forgotten += [f"{package}: {name}" for name in names]
    assert forgotten == []
