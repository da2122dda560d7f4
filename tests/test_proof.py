"""scripts/proof.sh with a stand-in for the programs that it calls: commands, order, resumption."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "proof.sh"
# Takes the place of Python: notes the command line and makes what the script looks for afterwards.
STAND_IN = """#!{python}
import json, pathlib, sys
program, words = sys.argv[1], sys.argv[2:]
with open({calls!r}, "a") as file:
    file.write(json.dumps([program, *words]) + "\\n")
def after(option):
    return pathlib.Path(words[words.index(option) + 1])
def fill(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text('{{"state": "done"}}')
if "--write_split" in words:
    for part in ("train_1", "train_2", "val", "test"):
        for kind in ("images", "masks"):
            fill(after("--write_split") / part / kind, "a.tif")
elif program == "train.py":
    fill(after("--output_root") / after("--run_id"), "progress.json")
elif program == "utils/vary_masks.py":
    fill(pathlib.Path(words[1]) / "masks", "a_0.png")
elif program == "utils/predict_masks.py":
    for kind in ("images", "masks"):
        fill(pathlib.Path(words[-2]) / kind, "a.png", "a.b.png")
elif program == "tool_add_control.py":
    fill(pathlib.Path(words[1]).parent, pathlib.Path(words[1]).name)
elif program != "generate.py":
    fill(after("--output").parent, after("--output").name)
"""


@pytest.fixture
def proof(tmp_path):
    """Runs the script with variables of the environment; returns the commands that it called."""
    calls, stand_in = tmp_path / "calls", tmp_path / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable, calls=str(calls)))
    stand_in.chmod(0o755)
    (tmp_path / "study.yaml").write_text("num_classes: 3  # with the background\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b.png").write_text("")

    def run(**variables):
        calls.write_text("")
        words = ["bash", str(SCRIPT), str(tmp_path / "study.yaml"), str(tmp_path / "out")]
        env = {**os.environ, "PYTHON": str(stand_in), **variables}
        subprocess.run(words, env=env, check=True, capture_output=True)
        return [json.loads(line) for line in calls.read_text().splitlines()]

    return run


def parsed(program, *words):
    """The options of a command as its program reads them; an unknown or wrong one ends the test."""
    module = importlib.import_module(program.removesuffix(".py").replace("/", "."))
    return module.parse_args(words)


def value(words, option):
    """What a command says of an option; of two mentions, the last one counts."""
    return words[len(words) - words[::-1].index(option)]


def runs(calls):
    """Names of the runs of generate.py."""
    return [value(words, "--run_id") for words in calls if words[0] == "generate.py"]


def test_every_command_is_understood(proof, tmp_path):
    more = {"UNLABELLED": str(tmp_path / "more"), "SCALES": "1 4", "GRAIN": "1", "GATE": "1"}
    calls = proof(**more)
    for words in calls:
        parsed(*words)
    kinds = ["{}", "{}_scale_1", "{}_scale_4", "{}_grain", "{}_gate"]
    kinds += ["predicted_twice_{}", "unlabelled_{}"]
    assert runs(calls) == [kind.format(number) for number in (1, 2) for kind in kinds]
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["a.tif", "b.png"]
    again = proof(**more)
    assert {words[0] for words in again} == {"generate.py", "utils/augmentation_study.py"}
    assert runs(again) == runs(calls)


def test_arms_may_name_every_folder_that_will_be_made(proof, tmp_path):
    more = {"UNLABELLED": str(tmp_path / "more"), "SCALES": "4", "GRAIN": "1", "GATE": "1"}
    for variables in ({}, more, more | {"PREDICT_TWICE": "0"}, more | {"CONTROL_STEPS": "0"}):
        calls = proof(**variables)
        to_come = parsed(*calls[0]).pairs_to_come
        pairs = {
            tmp_path / "out/pairs" / f"run_{value(words, '--run_id')}"
            for words in calls
            if words[0] == "generate.py"
        }
        pairs |= {Path(words[-2]) for words in calls if words[0] == "utils/predict_masks.py"}
        assert {Path(str(p).format(labelled=n)) for p in to_come for n in (1, 2)} == pairs
        shutil.rmtree(tmp_path / "out")


def test_a_guidance_weight_of_the_sweep_wins(proof):
    calls = proof(SCALES="4", SCALE="2")
    scales = [value(words, "--scale") for words in calls if words[0] == "generate.py"]
    assert dict(zip(runs(calls), scales, strict=True)) == {
        "1": "2",
        "1_scale_4": "4",
        "2": "2",
        "2_scale_4": "4",
    }


def test_only_what_is_asked_for_is_trained(proof):
    assert runs(proof()) == ["1", "2"]
    gated = proof(GATE="1")
    segmenters = [words for words in gated if words[0] == "utils/train_segmenter.py"]
    assert len(segmenters) == 2  # one for each number of labelled images
    judges = [value(words, "--gate_segmenter") for words in gated if "--gate_segmenter" in words]
    assert judges == [value(words, "--output") for words in segmenters]


def test_without_a_controlnet_masks_are_predicted_alone(proof, tmp_path):
    more = {"UNLABELLED": str(tmp_path / "more"), "SEGMENTER_SEEDS": "5"}
    calls = proof(CONTROL_STEPS="0", PREDICT_TWICE="0", **more)
    programs = [words[0] for words in calls]
    each = ["utils/train_segmenter.py", "utils/predict_masks.py"]
    study = ["utils/augmentation_study.py"]
    assert programs == [*study, *each, *each, *study]


def test_masks_are_predicted_twice(proof, tmp_path):
    calls = proof(UNLABELLED=str(tmp_path / "more"), CONTROL_STEPS="0")
    trained = []
    for words in calls:
        parsed(*words)
        if words[0] == "utils/train_segmenter.py":
            trained.append(value(words, "--output"))
        elif words[0] == "utils/predict_masks.py":
            assert words[1:-3] == trained[-3:]  # all three, and nothing else before the folders
    students = [value(words, "--output") for words in calls if "--mix" in words]
    taught = {value(words, "--synthetic_mask_path") for words in calls if "--mix" in words}
    assert taught == {str(tmp_path / f"out/pairs/predicted_{n}/masks") for n in (1, 2)}
    again = [words for words in calls if Path(words[-2]).name.startswith("predicted_twice")]
    assert [word for words in again for word in words[1:-3]] == students
    assert len(students) == 6  # three for each number of labelled images


def test_a_controlnet_learns_from_labelled_and_predicted_pairs(proof, tmp_path):
    calls = proof(UNLABELLED=str(tmp_path / "more"), GRAIN="1")
    learned = tmp_path / "out/pairs/learned_predicted_twice_2"
    for kind in ("images", "masks"):
        # An image that is labelled too keeps its true mask.
        assert sorted(path.name for path in (learned / kind).iterdir()) == ["a.b.png", "a.tif"]
    (training,) = [words for words in calls if str(learned / "images") in words]
    assert training[0] == "train.py" and value(training, "--run_id") == "predicted_twice_2"
    (drawing,) = [words for words in calls if "predicted_twice_2" in words and "--grain" in words]
    assert "/predicted_twice_2/" in value(drawing, "--model_weights_path")
    assert value(drawing, "--mask_dir") == str(tmp_path / "out/pairs/predicted_twice_2/masks")
    assert value(drawing, "--grain") == str(tmp_path / "out/grain.json")


def test_masks_that_were_learned_are_varied_too(proof, tmp_path):
    calls = proof(UNLABELLED=str(tmp_path / "more"), VARIED="5")
    learned = tmp_path / "out/pairs/learned_predicted_twice_1/masks"
    (varied,) = [words for words in calls if words[:2] == ["utils/vary_masks.py", str(learned)]]
    assert parsed(*varied).copies == 5
    generated = [words for words in calls if words[0] == "generate.py"]
    (drawing,) = [w for w in generated if value(w, "--run_id") == "predicted_twice_1"]
    masks = Path(value(drawing, "--mask_dir"))
    assert sorted(path.name for path in masks.iterdir()) == ["a.b.png", "a.tif", "a_0.png"]
