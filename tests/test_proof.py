"""scripts/proof.sh with a stand-in for the programs that it calls: commands, order, resumption."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "proof.sh"
DOCUMENT = ROOT / "docs" / "study.md"
# Takes the place of Python: notes the command line and makes what the script looks for afterwards.
STAND_IN = """#!{python}
import json, pathlib, sys
program, words = sys.argv[1], sys.argv[2:]
if program == "-c":  # a real program
    sys.path.insert(0, "")
    sys.argv = ["-c", *words[1:]]
    sys.exit(exec(words[0]))
with open({calls!r}, "a") as file:
    file.write(json.dumps([program, *words]) + "\\n")
def after(option):
    return pathlib.Path(words[words.index(option) + 1])
def fill(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text('{{"state": "done"}}')
if "--pairs_to_come" in words:
    named = pathlib.Path(words[0]).read_text().split()
    to_come = words[words.index("--pairs_to_come") + 1:]
    print("\\n".join(folder for folder in to_come if folder in named))
elif "--write_split" in words:
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
    """Runs the script for arms that name pairs, with variables; returns the commands it called."""
    calls, stand_in = tmp_path / "calls", tmp_path / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable, calls=str(calls)))
    stand_in.chmod(0o755)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b.png").write_text("")

    def run(*arms, classes=3, segmenter=None, **variables):
        calls.write_text("")
        named = [f"{tmp_path}/out/pairs/{arm}" for arm in arms]
        study = {
            "num_classes": classes,
            "real": {"images": ["images"], "masks": ["masks"]},
            "split": {"pattern": "(.)", "train": ["a"], "val": ["b"], "test": ["c"]},
            "segmenter": segmenter or {"max_steps": 700},
            "arms": [{"name": "real"}]
            + [{"name": str(i), "synthetic": name} for i, name in enumerate(named)],
        }
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, width=1000))
        words = ["bash", str(SCRIPT), str(tmp_path / "study.yaml"), str(tmp_path / "out")]
        env = {**os.environ, "PYTHON": str(stand_in), "UNLABELLED": str(tmp_path / "more")}
        subprocess.run(words, env=env | variables, check=True, capture_output=True)
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


def folders_made(calls, root):
    """Pairs that the commands make."""
    drawn = [root / f"run_{run}" for run in runs(calls)]
    predicted = [Path(words[-2]) for words in calls if words[0] == "utils/predict_masks.py"]
    return {folder.relative_to(root).as_posix() for folder in drawn + predicted}


def offered(calls):
    """Pairs that the script says it can make."""
    return [path.name for path in parsed(*calls[0]).pairs_to_come]


def test_every_command_is_understood_and_every_pair_made(proof, tmp_path):
    arms = offered(proof())
    assert len(arms) == 2 + 4 * 4  # kinds of pairs and their endings
    described = re.findall(r"^\| `(\S+{labelled})` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert set(described) == {arm for arm in arms if arm.endswith("{labelled}")}
    calls = proof(*arms)
    for words in calls:
        parsed(*words)
    made = {arm.format(labelled=number) for arm in arms for number in (1, 2)}
    assert folders_made(calls, tmp_path / "out/pairs") == made
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["a.tif", "b.png"]
    again = proof(*arms)
    assert {words[0] for words in again} == {"generate.py", "utils/augmentation_study.py"}
    assert runs(again) == runs(calls)


@pytest.mark.parametrize(
    ("arm", "programs"),
    [
        (None, []),
        ("predicted_{labelled}", ["segmenter", "predict"]),
        ("run_{labelled}", ["control", "vary", "draw"]),
        ("run_{labelled}_gate", ["control", "vary", "segmenter", "draw"]),
        ("run_predicted_{labelled}", ["segmenter", "predict", "control", "draw"]),
        ("run_unlabelled_{labelled}", ["segmenter", "predict", "control", "draw"]),
        (
            "run_predicted_twice_{labelled}",
            ["segmenter", "predict", "segmenter", "predict", "control", "draw"],
        ),
    ],
)
def test_only_what_an_arm_needs_is_made(proof, tmp_path, arm, programs):
    calls = proof(*([arm] if arm else []), SEGMENTER_SEEDS="5")
    names = {
        "segmenter": "utils/train_segmenter.py",
        "predict": "utils/predict_masks.py",
        "control": "train.py",
        "vary": "utils/vary_masks.py",
        "draw": "generate.py",
    }
    each = [names[program] for program in programs]
    start = ["utils/pretrain_base.py", "tool_add_control.py"] if "draw" in programs else []
    study = "utils/augmentation_study.py"
    assert [words[0] for words in calls] == [study, study, *start, *each, *each, study]


def test_an_arm_that_is_added_later_gets_its_pairs(proof, tmp_path):
    proof("predicted_{labelled}")
    calls = proof("predicted_{labelled}", "run_predicted_{labelled}_grain")
    assert [words[0] for words in calls if words[0] == "utils/fit_grain.py"]
    assert runs(calls) == ["predicted_1_grain", "predicted_2_grain"]
    assert "utils/train_segmenter.py" not in {words[0] for words in calls}


def test_pairs_of_images_without_labels_are_not_offered_without_any(proof):
    kinds = ["", "_grain", "_gate", "_grain_gate"]
    assert offered(proof(UNLABELLED="")) == [f"run_{{labelled}}{kind}" for kind in kinds]


def test_a_refused_study_ends_the_script(proof, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho no such arm >&2\nexit 2\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}")
    assert (error.value.returncode, error.value.stderr) == (2, b"no such arm\n")
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_show_the_usage_and_help_the_head():
    wrong = subprocess.run(["bash", str(SCRIPT), "study.yaml"], capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.startswith("usage: bash scripts/proof.sh")
    asked = subprocess.run(["bash", str(SCRIPT), "--help"], capture_output=True, text=True)
    assert asked.returncode == 0 and asked.stdout.startswith("Everything between labelled images")
    assert "docs/study.md" in asked.stdout and "set -euo" not in asked.stdout


def test_a_guidance_weight_of_the_sweep_wins(proof):
    calls = proof("run_{labelled}", "run_{labelled}_grain_scale_4", SCALES="4", SCALE="3")
    drawn = [words for words in calls if words[0] == "generate.py"]
    asked = {
        value(words, "--run_id"): (value(words, "--scale"), "--grain" in words) for words in drawn
    }
    assert asked == {
        "1": ("3", False),
        "1_grain_scale_4": ("4", True),
        "2": ("3", False),
        "2_grain_scale_4": ("4", True),
    }


def test_crops_of_the_controlnet_are_as_large_as_those_of_the_base(proof):
    for asked, pixels in (
        ({}, [115, 153]),
        ({"IMAGE_SIZE": "512"}, [460, 614]),
        ({"CROP_PIXELS": "100 120"}, [100, 120]),
    ):
        calls = proof("run_{labelled}", **asked)
        words = next(words for words in calls if words[0] == "train.py")
        assert list(parsed(*words).samples.crop_pixels) == pixels
        shutil.rmtree(Path(value(words, "--output_root")).parent)


def test_segmenters_that_predict_masks_learn_like_those_of_the_study(proof):
    study = {
        "max_steps": 700,
        "encoder": "tu-resnet18",
        "augmentation": "basic",
        "batch_size": 4,
        "precision": "32",
        "mix": ["real=1"],  # names sources that these segmenters have not
        "patience": None,  # the default, as if it were not there
    }
    for asked, steps in (({}, 700), ({"SEGMENTER_STEPS": "9"}, 9)):
        calls = proof("predicted_{labelled}", segmenter=study, PRECISION="bf16", **asked)
        words = next(words for words in calls if words[0] == "utils/train_segmenter.py")
        options = vars(parsed(*words))
        expected = study | {"max_steps": steps, "num_classes": 3, "mix": []}
        assert {name: options[name] for name in expected} == expected
        shutil.rmtree(Path(value(words, "--output")).parent)
    calls = proof("predicted_{labelled}", PRECISION="bf16")
    words = next(words for words in calls if words[0] == "utils/train_segmenter.py")
    assert parsed(*words).precision == "bf16"


def test_a_second_call_with_other_variables_is_refused(proof, tmp_path):
    proof("run_{labelled}", SCALES="4")
    assert runs(proof("run_{labelled}", SCALES="5")) == ["1", "2"]
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}", CONTROL_STEPS="5000")
    refused = error.value.stderr.decode()
    assert error.value.returncode == 2 and "was begun with other variables" in refused
    assert "< CONTROL_STEPS=2000\n> CONTROL_STEPS=5000\n" in refused
    assert runs(proof("run_{labelled}", UNLABELLED=f"{tmp_path}/more/")) == ["1", "2"]
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}", classes=2)
    assert b"< classes=3\n> classes=2\n" in error.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}", segmenter={"max_steps": 700, "batch_size": 4})
    assert b"< segmenter=\n> segmenter=--batch_size 4\n" in error.value.stderr
    (tmp_path / "more/c.png").write_text("")
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}")
    assert b"> images of UNLABELLED: " in error.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}", GATE="1.25")
    assert b"GATE is no variable of this script any more" in error.value.stderr
    (tmp_path / "out/variables").write_text("classes=3\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}")
    assert b"was begun by another version" in error.value.stderr
    (tmp_path / "out/variables").unlink()
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}")
    assert b"was begun by another version" in error.value.stderr


def test_images_without_labels_are_checked_first(proof, tmp_path):
    assert parsed(*proof("run_{labelled}")[0]).unlabelled == tmp_path / "more"


def test_organelles_are_varied_where_their_classes_are_named(proof):
    for asked, classes in (({}, []), ({"OBJECTS": "1 2"}, [1, 2])):
        calls = proof("run_{labelled}", **asked)
        words = next(words for words in calls if words[0] == "utils/vary_masks.py")
        assert list(parsed(*words).objects) == classes
        shutil.rmtree(Path(words[2]).parent)


def test_one_segmenter_of_its_labels_judges_pairs(proof):
    calls = proof("run_{labelled}_gate")
    segmenters = [words for words in calls if words[0] == "utils/train_segmenter.py"]
    judges = [value(words, "--gate_segmenter") for words in calls if "--gate_segmenter" in words]
    assert judges == [value(words, "--output") for words in segmenters]


def test_masks_are_predicted_twice(proof, tmp_path):
    calls = proof("predicted_twice_{labelled}")
    trained = []
    for words in calls:
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
    calls = proof("run_predicted_twice_{labelled}_grain")
    learned = tmp_path / "out/pairs/learned_predicted_twice_2"
    for kind in ("images", "masks"):
        # An image that is labelled too keeps its true mask.
        assert sorted(path.name for path in (learned / kind).iterdir()) == ["a.b.png", "a.tif"]
    (training,) = [words for words in calls if str(learned / "images") in words]
    assert training[0] == "train.py" and value(training, "--run_id") == "predicted_twice_2"
    (drawing,) = [words for words in calls if "predicted_twice_2_grain" in words]
    assert "/predicted_twice_2/" in value(drawing, "--model_weights_path")
    assert value(drawing, "--mask_dir") == str(tmp_path / "out/pairs/predicted_twice_2/masks")
    assert value(drawing, "--grain") == str(tmp_path / "out/grain.json")


def test_masks_that_were_learned_are_varied_too(proof, tmp_path):
    calls = proof("run_predicted_twice_{labelled}", VARIED="5")
    learned = tmp_path / "out/pairs/learned_predicted_twice_1/masks"
    (varied,) = [words for words in calls if words[:2] == ["utils/vary_masks.py", str(learned)]]
    assert parsed(*varied).copies == 5
    generated = [words for words in calls if words[0] == "generate.py"]
    (drawing,) = [w for w in generated if value(w, "--run_id") == "predicted_twice_1"]
    masks = Path(value(drawing, "--mask_dir"))
    assert sorted(path.name for path in masks.iterdir()) == ["a.b.png", "a.tif", "a_0.png"]


def test_the_decoder_can_stay_locked(proof, tmp_path):
    for asked, locked in (({}, False), ({"SD_LOCKED": "true"}, True)):
        calls = proof("run_{labelled}", **asked)
        words = next(words for words in calls if words[0] == "train.py")
        assert parsed(*words).model.sd_locked is locked
        shutil.rmtree(tmp_path / "out")
    proof("run_{labelled}")
    with pytest.raises(subprocess.CalledProcessError) as error:
        proof("run_{labelled}", SD_LOCKED="true")
    assert b"> SD_LOCKED=true" in error.value.stderr


def test_the_cost_of_each_step_is_noted_after_a_failure_too(proof, tmp_path):
    stand_in = (tmp_path / "python").read_text()
    fails = 'elif program == "train.py":\n    sys.exit(1)\n' + 'elif program == "train.py":'
    (tmp_path / "python").write_text(stand_in.replace('elif program == "train.py":', fails))
    with pytest.raises(subprocess.CalledProcessError):
        proof("run_{labelled}", BASE="a\tb")
    (tmp_path / "python").write_text(stand_in)
    proof("run_{labelled}", BASE="a\tb")  # a tab ends no column
    rows = [line.split("\t") for line in (tmp_path / "out/costs.tsv").read_text().splitlines()]
    assert all(seconds.isdigit() for seconds, _ in rows)
    steps = [step.partition(":")[0] for _, step in rows]
    control = "ControlNet of the pairs in " + str(tmp_path / "out/split/train_1")
    assert steps.count(control) == 2 and steps[-1] == "study"
