"""Every program refuses bad input in one line with exit code 2, and dry runs write nothing."""

import ast
import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_imports import is_program, module_name, python_files

PROGRAMS = sorted(
    path.as_posix() for path, source in python_files().items() if is_program(ast.parse(source))
)
NO_INPUT = {  # programs that read no file, or measure with files of their own making
    "benchmarks/annotator_speed.py",
    "benchmarks/beside_diffusers.py",
    "benchmarks/branch_memory.py",
    "benchmarks/fid_speed.py",
    "benchmarks/load_time.py",
    "utils/download.py",
}
NO_IMAGES = {  # further ones that read no image
    "benchmarks/gpu.py",
    "benchmarks/picture_memory.py",
    "benchmarks/throughput.py",
    "tool_add_control.py",
    "tool_transfer_control.py",
    "utils/convert_control.py",
    "utils/draw_detectors.py",
    "utils/export_segmenter.py",
    "utils/make_phantoms.py",
    "utils/plan.py",
    "utils/run_status.py",
}
# Prints which of the programs named on its command line have loaded torch or Lightning for
# `--help`, each in a process that has loaded the libraries that all of them use.
SHOW_HEAVY = """
import os, runpy, sys
import cv2, numpy, omegaconf, pydantic, tifffile
for program in sys.argv[1:]:
    if not os.fork():
        sys.argv = [program, "--help"]
        sys.path.insert(0, os.path.dirname(program))
        sys.stdout = open(os.devnull, "w")
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as end:
            ended = end.code
        loaded = {"torch", "pytorch_lightning"} & sys.modules.keys()
        if ended or loaded:
            print(program, ended, loaded, file=sys.stderr)
        os._exit(0)
    os.wait()
"""
# Runs the program of its command line, and prints which parts of Lightning that has loaded.
SHOW_LIGHTNING = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print([name for name in sys.modules if name.startswith(("pytorch_lightning", "lightning"))])
"""
# A command line that names a file or folder which is not there, `absent`
ABSENT = {
    "benchmarks/fid_severity.py": "absent",
    "benchmarks/gpu.py": "--config absent --device cpu",
    "benchmarks/label_consistency.py": "--train absent a --test a a --generated a a",
    "benchmarks/membrane_fscore.py": "--tune absent a --test a a",
    "benchmarks/picture_memory.py": "--config absent",
    "benchmarks/solver_steps.py": "--model_weights_path a --mask_dir absent",
    "benchmarks/throughput.py": "--config absent",
    "benchmarks/speed_quality.py": "--model_weights_path a --segmenter a --pairs absent a",
    "utils/autoencoder_ceiling.py": "absent --model a",
    "utils/compare_folders.py": "absent --generated a",
    "fid/compute_cem_fid.py": "absent a",
    "fid/compute_normal_fid.py": "absent a",
    "utils/near_copies.py": "absent a",
    "fid/pretraining/mocov2/train.py": "absent",
    "fid/pretraining/swav/train.py": "--data_path absent --model_dir a --device cpu",
    "generate.py": "--mask_dir absent --config_yaml_path {nano}",
    "tool_add_control.py": "absent a.ckpt",
    "tool_transfer_control.py": "absent a b c.ckpt",
    "train.py": "--image_path absent --mask_path a --cldm_config_path {nano}",
    "utils/annotate.py": "--detector canny --input absent --output a",
    "utils/augmentation_study.py": "absent",
    "utils/build_rgba_dataset.py": "--img_dir absent --mask_dir a --dest_dir b",
    "utils/compare.py": "absent --output a.png",
    "utils/compare_stacks.py": "a=absent --output b",
    "utils/convert_control.py": "absent a.ckpt",
    "utils/draw_detectors.py": "taken/a.png",
    "utils/export_segmenter.py": "absent out --authors a",
    "utils/fit_grain.py": "--image_path absent --weights a --output a.json --config {nano}",
    "utils/make_phantoms.py": "taken",
    "utils/plan.py": "--measure step --config absent",
    "utils/predict_masks.py": "a absent b",
    "utils/pretrain_base.py": "--image_path absent --output a.ckpt --config {nano}",
    "utils/run_status.py": "absent",
    "utils/vary_masks.py": "absent a",
    "utils/slices.py": "absent out",
    "utils/train_segmenter.py": "score --checkpoint absent --image_path a --mask_path b",
}
DRY_RUNS = {
    "utils/autoencoder_ceiling.py": "{pairs}/images --model a --output out",
    "utils/compare_folders.py": "{pairs}/images --generated {pairs}/images --output out",
    "fid/compute_cem_fid.py": "{pairs}/images {pairs}/images --output-json out/fid.json",
    "utils/near_copies.py": "{pairs}/images {pairs}/images --output out",
    "fid/pretraining/mocov2/train.py": "--data_path {pairs}/images --model_dir out --set epochs=7",
    "tool_add_control.py": "{weights} out.ckpt --config {micro}",
    "tool_transfer_control.py": "{weights} {weights} {weights} out.ckpt --config {micro}",
    "utils/annotate.py": "--detector canny --input {pairs}/images --output out",
    "utils/build_rgba_dataset.py": "--img_dir {pairs}/images --mask_dir {pairs}/masks "
    "--dest_dir out --num_workers 0",
    "utils/compare_stacks.py": "a={pairs}/images --output out",
    "utils/convert_control.py": "{weights} out --config {micro}",
    "utils/draw_detectors.py": "out.png",
    "utils/fit_grain.py": "--image_path {pairs}/images --weights a --config {micro} "
    "--output out.json",
    "utils/make_phantoms.py": "out --train 3",
    "utils/pretrain_base.py": "--image_path {pairs}/images --output out.ckpt --config {micro}",
    "utils/slices.py": "{pairs}/images out --labels {pairs}/masks",
    "utils/vary_masks.py": "{pairs}/masks out",
}


def main_of(program):
    return importlib.import_module(module_name(Path(program))).main


def test_all_programs_are_here():
    assert set(PROGRAMS) == NO_INPUT | set(ABSENT)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_ends_in_the_same_way(program):
    """The one line and its exit code come from `run_script`."""
    last = ast.parse(Path(importlib.import_module(module_name(Path(program))).__file__).read_text())
    assert ast.unparse(last.body[-1].body) == "run_script(main)"


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_option_is_one_line(program, tmp_path, monkeypatch, error_line):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(ABSENT.get(program, "folder" if "folder" in program else ""))
    assert "error: " in error_line(main_of(program), *words, "--no_such_option")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", sorted(ABSENT))
def test_a_missing_file_is_one_line(program, tmp_path, monkeypatch, error_line):
    nano = Path("models/cldm_nano.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    words = ABSENT[program].format(nano=nano)
    line = error_line(main_of(program), *words.split())
    assert "absent" in line or "taken" in line


def test_help_comes_before_torch_is_loaded():
    """Loading torch takes longer than reading the help."""
    words = [sys.executable, "-c", SHOW_HEAVY, *PROGRAMS]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stderr == ""


def test_images_are_generated_without_lightning(pairs, micro_yaml, micro_weights, tmp_path):
    """It takes seconds to load, and only a training needs it."""
    options = [
        *("--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights),
        *("--mask_dir", pairs / "masks", "--output_base_dir", tmp_path / "out"),
        *("--ddim_steps", 1, "--device", "cpu"),
    ]
    words = [sys.executable, "-c", SHOW_LIGHTNING, "generate.py", *map(str, options)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(list(tmp_path.glob("out/*/images/*.png"))) == 6


@pytest.mark.parametrize("program", sorted(ABSENT.keys() - NO_IMAGES))
def test_programs_that_read_images_offer_the_options_of_image_files(program, capsys):
    with pytest.raises(SystemExit):
        main_of(program)([*ABSENT[program].split(), "--help"])
    shown = capsys.readouterr().out
    assert "--bit_depth" in shown and "--max_pixels" in shown


@pytest.mark.parametrize("program", sorted(DRY_RUNS))
def test_a_dry_run_writes_nothing(
    program, pairs, micro_yaml, micro_weights, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    words = DRY_RUNS[program].format(pairs=pairs, micro=micro_yaml, weights=micro_weights)
    main_of(program)([*words.split(), "--dry_run"])
    shown = capsys.readouterr().out
    assert shown.endswith("dry run: nothing was written\n") and "out" in shown
    assert set(tmp_path.rglob("*")) == before
