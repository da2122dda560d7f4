"""Runs that were stopped, killed or finished, and go on as if nothing had happened."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from cldm.model import create_model
from core.cards import CARD
from core.imaging.images import write_png
from core.imaging.labels import read_labels
from core.lightning import position
from core.notices import Notice
from core.recording.records import RECORD, write_run_record
from core.recording.run_lock import RunLock
from core.signals import StoppedForRequeue
from core.weights.checkpoints import load_state_dict
from core.weights.torch_files import load_pickle
from segmentation.network import build_segmenter, save_segmenter
from share import REQUEUE
from tests.trained import final_state, only_run, validation
from tests.weights import assert_same_tensors
from training.folder.run_folder import RunFolder
from training.run import TrainingRun
from training.step.frozen import FrozenEncoders
from training.step.module import ControlTraining

ROOT = Path(__file__).parents[2]


def start(options):
    return subprocess.Popen(
        [sys.executable, "train.py", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(path, process):
    while not path() and process.poll() is None:
        time.sleep(0.02)


def test_killed_and_interrupted_runs_resume_to_the_same_weights(options, pairs, tmp_path):
    """Ctrl-C, then kill -9 within an epoch: both times the run resumes.

    At the end it equals a run that was never interrupted, bit by bit.
    """
    more = "--max_steps 25 --save_every 4 --prompt_drop 0.5 --views_per_image 2"
    options = [*options, *validation(pairs), *more.split()]
    process = start([*options, "--output_root", str(tmp_path / "whole")])
    reference, _ = process.communicate(timeout=120)
    assert process.returncode == 0, reference

    process = start(options)
    wait_for(lambda: list(tmp_path.glob("runs/*/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    run = only_run(tmp_path)
    assert process.returncode == 130
    assert f"--resume_training {run}" in output
    assert "Traceback" not in output
    stopped_at = final_state(run)[2]
    assert 4 <= stopped_at < 25

    process = start(["--resume_training", str(run)])
    saved = (run / "last.ckpt").stat().st_mtime_ns
    wait_for(lambda: (run / "last.ckpt").stat().st_mtime_ns != saved, process)
    process.kill()
    process.wait()
    process.stdout.close()
    (run / ".last.x.tmp.ckpt").touch()  # what a process may leave that is killed while it saves

    train.main(["--resume_training", str(run)])
    assert not list(run.glob(".*.tmp*"))
    (whole,) = (tmp_path / "whole").iterdir()
    (weights, moments, step), (expected, expected_moments, _) = final_state(run), final_state(whole)
    assert step == 25
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    for i, expected_moment in expected_moments.items():
        assert torch.equal(moments[i]["exp_avg"], expected_moment["exp_avg"])
    curve, expected_curve = (
        load_pickle(folder / "last.ckpt", "cpu")["callbacks"]["LossCurve"]
        for folder in (run, whole)
    )
    assert curve == expected_curve


def test_workers_that_read_images_leave_signals_to_the_training(options, pairs, tmp_path):
    """Slurm signals all processes of a job, but the last step needs its workers."""
    words = "--num_workers 2 --save_every 1 --max_steps 10000 --max_epochs 10000"
    process = start([*options, *validation(pairs), *words.split()])
    wait_for(lambda: list(tmp_path.glob("runs/*/last_previous.ckpt")), process)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    for _ in range(2):  # a worker may note the first one, as the process does that it is a copy of
        for worker in map(int, workers):
            os.kill(worker, signal.SIGUSR1)
        time.sleep(0.5)
    (last,) = tmp_path.glob("runs/*/last.ckpt")
    saved = last.stat().st_mtime_ns
    wait_for(lambda: last.stat().st_mtime_ns != saved, process)
    process.send_signal(signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == REQUEUE, output
    assert f"stopped: {last} is of step" in output


def signalled(function, number):
    """The function, before which a signal arrives."""

    def call(*args, **kwargs):
        signal.raise_signal(number)
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    ("part", "name"),
    [
        (ControlTraining, "training_step"),  # the last step
        (TrainingRun, "keep_best"),
        (TrainingRun, "write_card"),
    ],
)
def test_a_signal_that_comes_when_all_is_trained_ends_nothing(
    options, tmp_path, monkeypatch, number, part, name
):
    monkeypatch.setattr(part, name, signalled(getattr(part, name), number))
    train.main([*options, "--max_steps", "1"])
    files = {path.name for path in only_run(tmp_path).iterdir()}
    assert {"last.ckpt", "EM_best_results.ckpt", CARD} <= files


@pytest.mark.parametrize("part", [FrozenEncoders, RunFolder])
def test_a_job_that_is_to_be_requeued_before_its_first_step_says_so(
    options, tmp_path, monkeypatch, part
):
    words = [*options, "--max_steps", "1", "--run_id", "job"]
    with monkeypatch.context() as patch, pytest.raises(StoppedForRequeue):
        patch.setattr(part, "__init__", signalled(part.__init__, signal.SIGUSR1))
        train.main(words)
    train.main(words)
    assert final_state(tmp_path / "runs/job")[2] == 1


def test_a_run_in_bf16_goes_on_to_the_same_weights(options, tmp_path):
    """On a CPU its frozen weights lie rounded and the others are rounded for each product."""
    options = [*options, "--precision", "bf16"]
    train.main([*options, "--run_id", "whole", "--max_steps", "5"])
    train.main([*options, "--run_id", "parts", "--max_steps", "2"])
    train.main(["--resume_training", str(tmp_path / "runs/parts"), "--max_steps", "5"])
    whole, parts = (
        load_pickle(tmp_path / "runs" / name / "last.ckpt", "cpu")["state_dict"]
        for name in ("whole", "parts")
    )
    assert_same_tensors(parts, whole)
    assert {weight.dtype for weight in whole.values()} == {torch.float32}


def metrics(run, name):
    """Values that a run has logged of a metric, by step, over all resumptions."""
    values = {}
    for path in sorted(run.glob("csv/*/metrics.csv")):
        for row in csv.DictReader(path.open()):
            if row.get(name):
                values[int(row["step"])] = float(row[name])
    return values


def kept(run):
    """What a run keeps beside its weights: losses, the best ones, its patience, its averages."""
    checkpoint = load_pickle(run / "last.ckpt", "cpu")
    states = checkpoint["callbacks"].items()
    best = {name: state["best_model_score"] for name, state in states if "Model" in name}
    others = {name: state for name, state in states if name in ("LossCurve", "Patience")}
    return {**others, **best, "updates": checkpoint["averaged_weights"]["updates"]}


@pytest.mark.parametrize(
    ("words", "validated"),
    [
        ("--batch_size 6", [1, 2, 3, 4, 5, 6, 7]),  # epochs of one batch
        ("--batch_size 2 --validate_every 2", [2, 4, 6]),  # of three
        # Of two steps, the second with one batch of two
        ("--batch_size 2 --accumulate_grad_batches 2 --validate_every 3", [3, 6]),
    ],
)
def test_nothing_that_a_run_keeps_is_lost_by_an_interruption(
    options, pairs, tmp_path, micro_yaml, words, validated
):
    """At a step with a validation, and at one before an epoch's end."""
    segmenter = tmp_path / "seg.ckpt"
    save_segmenter(segmenter, build_segmenter(3), {})
    more = f"{words} --patience 9 --ema_decay 0.5 --agreement_images 1 --fid_ddim_steps 1"
    options = [*options, *validation(pairs), *more.split(), "--agreement_segmenter", str(segmenter)]
    train.main([*options, "--max_steps", "7", "--run_id", "whole"])
    for steps in (validated[0], 5, 7):  # a training that ends is interrupted
        train.main([*options, "--max_steps", str(steps), "--run_id", "parts"])
    whole, parts = tmp_path / "runs/whole", tmp_path / "runs/parts"
    assert [step for step, _ in kept(whole)["LossCurve"]["history"]["val/loss"]] == validated
    assert kept(parts) == kept(whole)
    assert_same_tensors(final_state(parts)[0], final_state(whole)[0])
    # The best weights are averages; they load like any others.
    for name in ("EM_best_results.ckpt", "EM_best_agreement.ckpt"):
        assert_same_tensors(*(load_state_dict(run / name) for run in (whole, parts)))
        create_model(micro_yaml, whole / name)


def test_patience_ends_a_run_and_its_resumption(options, pairs, tmp_path, capsys):
    """A learning rate of nearly nothing: the loss cannot fall beyond its first value for long."""
    more = "--validate_every 1 --patience 2 --learning_rate 1e-30 --max_steps 9 --run_id short"
    train.main([*options, *validation(pairs), *more.split()])
    run = tmp_path / "runs/short"
    assert final_state(run)[2] == 3
    assert "(--patience 2); the training ends" in capsys.readouterr().out
    progress = json.loads((run / "progress.json").read_text())
    assert (progress["state"], progress["ended_early"]) == ("done", True)
    train.main(["--resume_training", str(run)])
    assert final_state(run)[2] == 3
    train.main(["--resume_training", str(run), "--patience", "4"])
    assert final_state(run)[2] == 5
    words = more.replace("short", "whole").split()
    train.main([*options, *validation(pairs), *words, "--patience", "4"])
    assert metrics(run, "train/loss_step") == metrics(tmp_path / "runs/whole", "train/loss_step")


def test_resume_takes_the_options_of_the_run(options, tmp_path, error_line):
    train.main([*options, "--max_steps", "2"])
    run = only_run(tmp_path)
    train.main(["--resume_training", str(run), "--max_steps", "4"])
    assert final_state(run)[2] == 4
    assert position(load_pickle(run / "last.ckpt", "cpu")) == (1, 1)
    error = error_line(train.main, "--resume_training", run, "--batch_size", 3)
    assert "--batch_size differs" in error
    assert "args.json: not there" in error_line(train.main, "--resume_training", tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_path", 3),
        ("val_mask_path", "/proc"),
        ("prompts_file", "evil"),
        ("cldm_config_path", "evil"),
        ("image_size", 3),
        ("agreement_segmenter", True),
    ],
)
def test_an_edited_option_of_the_record_is_blamed_on_the_record(
    options, pairs, tmp_path, error_line, name, value
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").touch()
    edited = train.parse_args([*options, *validation(pairs)]).values | {name: value}
    write_run_record(run / RECORD, edited, "training")
    line = error_line(train.main, "--resume_training", run, "--dry_run")
    assert f"{value}" in line and line.endswith(f"(with the options in {run}/args.json)")


def test_a_run_whose_data_changed_or_that_is_in_use_does_not_go_on(
    options, pairs, tmp_path, error_line
):
    shutil.copytree(pairs, tmp_path / "mine")
    mine = [word.replace(str(pairs), str(tmp_path / "mine")) for word in options]
    train.main([*mine, "--max_steps", "2"])
    run, resume = only_run(tmp_path), ["--resume_training", str(only_run(tmp_path))]
    before = (run / "last.ckpt").read_bytes()
    lock = RunLock(run, "training")
    lock.acquire()
    assert "is training here" in error_line(train.main, *resume, "--max_steps", "3")
    lock.close()
    mask = tmp_path / "mine" / "masks" / "cell_0.png"
    write_png(mask, 2 - read_labels(mask).astype(np.uint8))
    for more in ([], ["--dry_run"]):
        line = error_line(train.main, *resume, "--max_steps", "3", *more)
        assert "1 file(s) (cell_0.png) changed in the conditions" in line
    assert (run / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize("option", ["cldm_config_path", "prompts_file"])
def test_a_run_whose_model_or_prompts_changed_does_not_go_on(
    options, micro_yaml, tmp_path, error_line, option
):
    files = {"cldm_config_path": tmp_path / "model.yaml", "prompts_file": tmp_path / "p.txt"}
    files["cldm_config_path"].write_text(micro_yaml.read_text())
    files["prompts_file"].write_text("a cell\n")
    words = [str(word) for name, path in files.items() for word in (f"--{name}", path)]
    train.main([*options, *words, "--max_steps", "2"])
    run, path = only_run(tmp_path), files[option]
    before, text = (run / "last.ckpt").read_bytes(), path.read_text()
    changed = text.replace("linear_start: 0.00085", "linear_start: 0.002").replace("cell", "axon")
    assert changed != text
    path.write_text(changed)
    resume = ["--resume_training", str(run), "--max_steps", "3"]
    line = error_line(train.main, *resume)
    assert f"{run}/data.json: since the run was started, the file of --{option} was changed" in line
    assert (run / "last.ckpt").read_bytes() == before
    path.write_text(f"# as in the paper\n\n{text}")  # the same is read from it
    train.main(resume)
    assert final_state(run)[2] == 3


def test_a_run_whose_record_was_edited_does_not_go_on(options, tmp_path, error_line):
    """The optimizer's learning rate comes from the checkpoint, whatever the record says."""
    train.main([*options, "--max_steps", "2"])
    run = only_run(tmp_path)
    before, record = ((run / name).read_bytes() for name in ("last.ckpt", RECORD))
    resume = ["--resume_training", str(run), "--max_steps", "3"]
    for name, value in {
        "learning_rate": 1.0,
        "batch_size": 1,
        "crop_scale": [0.5, 1.0],
        "ema_decay": 0.9,
        "save_control_only": True,
    }.items():
        edited = json.loads(record)
        edited["args"][name] = value
        (run / RECORD).write_text(json.dumps(edited))
        line = error_line(train.main, *resume)
        assert f"{run}/args.json: edited, as {run}/start.json has another --{name} (" in line
    assert (run / "last.ckpt").read_bytes() == before
    (run / RECORD).write_bytes(record)
    moved = run.with_name("moved")
    run.rename(moved)
    files = {path: path.stat().st_mtime_ns for path in moved.rglob("*")}
    train.main(["--resume_training", str(moved), "--max_steps", "3", "--dry_run"])
    assert files == {path: path.stat().st_mtime_ns for path in moved.rglob("*")}
    train.main(["--resume_training", str(moved), "--max_steps", "3"])
    assert final_state(moved)[2] == 3


def test_scores_of_two_segmenters_are_not_compared(options, pairs, tmp_path, error_line):
    """The best weights are those that one segmenter scored highest."""
    segmenter = tmp_path / "seg.ckpt"
    save_segmenter(segmenter, build_segmenter(3), {})
    more = ["--agreement_segmenter", str(segmenter), "--agreement_images", "1"]
    more += ["--fid_ddim_steps", "1", "--max_steps", "2"]
    train.main([*options, *validation(pairs), *more])
    save_segmenter(segmenter, build_segmenter(3), {"trained": "anew"}, overwrite=True)
    line = error_line(train.main, "--resume_training", only_run(tmp_path), "--max_steps", 3)
    assert "the file of --agreement_segmenter was changed" in line


@pytest.mark.parametrize("control_only", ["true", "false"])
def test_a_moved_run_keeps_its_best_weights(options, pairs, tmp_path, control_only):
    """Weights that became worse do not replace them; where they are gone, they are made anew."""
    more = f"--validate_every 1 --max_steps 2 --save_control_only {control_only}"
    train.main([*options, *validation(pairs), *more.split()])
    run, moved = only_run(tmp_path), tmp_path / "moved"
    (best,) = run.glob("EM_best_results.*")
    content, last = best.read_bytes(), load_pickle(run / "last.ckpt", "cpu")
    ((key, state),) = (item for item in last["callbacks"].items() if "Checkpoint" in item[0])
    assert key.startswith(("ModelCheckpoint{", "ControlOnlyCheckpoint{"))  # as in older versions
    kept = {**state, "best_model_score": torch.tensor(0.0)}  # no loss falls below it
    kept["best_k_models"] = {kept["best_model_path"]: kept["best_model_score"]}
    state.update(kept, kth_value=kept["best_model_score"])
    shutil.copytree(run, moved)
    torch.save(last, moved / "last.ckpt")
    shutil.rmtree(run)
    train.main(["--resume_training", str(moved), "--max_steps", "3"])
    assert (moved / best.name).read_bytes() == content
    (moved / best.name).unlink()
    with pytest.warns(Notice, match=f"{moved / best.name}: not there, so the best weights are"):
        train.main(["--resume_training", str(moved), "--max_steps", "4"])
    assert (moved / best.name).is_file()


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(options, tmp_path):
    train.main([*options, "--max_steps", "4", "--save_every", "1"])
    run = only_run(tmp_path)
    state, _, _ = final_state(run)
    (run / "last.ckpt").unlink()  # `state` is mapped from it
    (run / "last.ckpt").write_bytes(b"damaged")
    with pytest.warns(Notice, match="Going on from the one before, of step 3"):
        train.main(["--resume_training", str(run)])
    again, _, step = final_state(run)
    assert step == 4
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_a_checkpoint_that_was_copied_from_another_run_is_refused(options, tmp_path, error_line):
    """Runs of older versions have no identity, nor have their checkpoints."""
    for name, seed in (("one", "1"), ("two", "2")):
        train.main([*options, "--max_steps", "1", "--run_id", name, "--seed", seed])
    one, two = (tmp_path / "runs" / name for name in ("one", "two"))
    shutil.copy(one / "last.ckpt", two / "last.ckpt")
    resume = ["--resume_training", str(two), "--max_steps", "2"]
    for more in ([], ["--dry_run"]):
        line = error_line(train.main, *resume, *more)
        assert f"{two}/last.ckpt: is of another run than {two}/start.json tells of" in line
    (one / "start.json").rename(one / "aside.json")
    line = error_line(train.main, "--resume_training", str(one), "--dry_run")
    assert f"{one}/start.json: is gone. Put it back: it tells the run of last.ckpt." in line
    (one / "aside.json").rename(one / "start.json")
    for run in (one, two):
        start = json.loads((run / "start.json").read_text())
        del start["identity"]
        (run / "start.json").write_text(json.dumps(start))
    checkpoint = load_pickle(one / "last.ckpt", "cpu")
    del checkpoint["callbacks"]["SaveLast"]["identity"]
    torch.save(checkpoint, two / "last.ckpt")
    train.main(resume)
    assert final_state(two)[2] == 2


def test_a_finished_run_can_be_prolonged(options, tmp_path):
    """Two epochs, prolonged to four, end like four.

    The same holds where an epoch is one batch and where steps are counted.
    """
    for batch_size, limit, short, long in (
        ("2", "--max_epochs", "2", "4"),
        ("6", "--max_epochs", "2", "4"),
        ("2", "--max_steps", "6", "12"),
    ):
        root = tmp_path / (batch_size + limit)
        more = [*options, "--batch_size", batch_size]
        train.main([*more, "--output_root", str(root / "whole"), limit, long])
        train.main([*more, "--output_root", str(root / "parts"), limit, short])
        (parts,), (whole,) = (root / "parts").iterdir(), (root / "whole").iterdir()
        train.main(["--resume_training", str(parts), limit, long])
        (weights, _, step), (expected, _, expected_step) = final_state(parts), final_state(whole)
        assert step == expected_step
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
