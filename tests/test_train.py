"""Trainings from the command line to the files that they leave."""

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
import wandb
import yaml
from safetensors import safe_open

import generate
import train
from cldm import parameterization
from cldm.cldm import ControlLDM
from cldm.model import create_model
from core.files import sha256_of
from core.imaging.images import read_labels, write_png
from core.lightning import WholeFileIO, position
from core.notices import Notice
from core.recording.run_lock import RunLock
from core.weights.checkpoints import load_state_dict, save_weights, subset
from core.weights.torch_files import load_pickle
from ldm.models.autoencoder import AutoencoderKL
from segmentation.network import build_segmenter, save_segmenter
from share import run_script
from tests.weights import assert_same_tensors
from training.module import ControlTraining
from training.run import TrainingRun

ROOT = Path(__file__).parent.parent


@pytest.fixture
def options(micro_yaml, micro_weights, pairs, tmp_path):
    """Command line of a training on the micro model, six pairs in batches of two."""
    return [
        *f"--image_path {pairs}/images --mask_path {pairs}/masks".split(),
        *f"--cldm_config_path {micro_yaml} --resume_path {micro_weights}".split(),
        *f"--output_root {tmp_path}/runs --gpus 0 --learning_rate 1e-3".split(),
        *"--log_every 1 --logger csv".split(),
    ]


def validation(pairs):
    return f"--val_image_path {pairs}/images --val_mask_path {pairs}/masks".split()


def only_run(tmp_path):
    (run,) = (tmp_path / "runs").iterdir()
    return run


def final_state(run):
    checkpoint = load_pickle(run / "last.ckpt", "cpu")
    return (
        checkpoint["state_dict"],
        checkpoint["optimizer_states"][0]["state"],
        checkpoint["global_step"],
    )


def test_a_run_leaves_weights_state_losses_and_its_record(options, pairs, tmp_path, micro_yaml):
    more = "--max_epochs 2 --logger csv tensorboard --logger_freq 4"
    train.main([*options, *validation(pairs), *more.split()])
    run = only_run(tmp_path)
    best = load_pickle(run / "EM_best_results.ckpt", "cpu")
    assert "optimizer_states" not in best and best["pytorch-lightning_version"]
    create_model(micro_yaml, run / "EM_best_results.ckpt")
    assert final_state(run)[2] == 6
    assert json.loads((run / "progress.json").read_text())["ended_early"] is False
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((run / "tensorboard").glob("events*"))
    metrics = (run / "csv" / "version_0" / "metrics.csv").read_text()
    for name in ("train/loss_step", "train/loss_epoch", "val/loss", "val/hint_gap"):
        assert name in metrics
    logged = sorted(path.name for path in (run / "image_log" / "train").iterdir())
    keys = ("conditioning", "control", "reconstruction", "samples_cfg_scale_9.00")
    assert logged == [f"{key}_gs-000004_e-000001_b-000000.png" for key in keys]
    record = json.loads((run / "args.json").read_text())
    assert record["args"]["batch_size"] == 2
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"command", "git_revision"} <= set(record)


@pytest.mark.parametrize(
    ("words", "name"),
    [([], "EM_best_results.ckpt"), (["--save_control_only"], "EM_best_results.safetensors")],
)
def test_a_run_shorter_than_an_epoch_leaves_its_weights(options, pairs, tmp_path, words, name):
    train.main([*options, *validation(pairs), "--max_steps", "1", *words])
    run = only_run(tmp_path)
    kept, last = load_state_dict(run / name), final_state(run)[0]
    assert all(torch.equal(value, last[key]) for key, value in kept.items())
    assert any(key.startswith("control_model.") for key in kept)


def test_only_the_control_branch_changes(options, tmp_path, micro_weights):
    train.main([*options, "--max_steps", "2"])
    before, after = load_state_dict(micro_weights), final_state(only_run(tmp_path))[0]
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"control_model"}


@pytest.mark.parametrize("extra", ["random", "zeros"])
def test_edges_and_rgba_train_and_generate(options, pairs, tmp_path, micro_yaml, extra):
    """From a start checkpoint of three hint channels; four of them only for rgba."""
    for folder in ("edges", "rgba"):
        (pairs / folder).mkdir()
    for path in (pairs / "masks").iterdir():
        mask = read_labels(path)
        edges = np.diff(mask, axis=1, prepend=0) != 0
        write_png(pairs / "edges" / path.name, (255 * edges).astype(np.uint8))
        np.savez(
            pairs / "rgba" / f"{path.stem}.npz",
            rgba=np.concatenate([np.eye(3)[mask], edges[..., None]], axis=2).astype(np.float32),
        )
    common = f"--config_yaml_path {micro_yaml} --device cpu --ddim_steps 2"
    common += f" --output_base_dir {tmp_path}/out"
    for kind, folder, channels in (("edge", "edges", 3), ("rgba", "rgba", 4)):
        output = tmp_path / "runs" / kind
        words = f"--condition_type {kind} --{kind}_path {pairs / folder}"
        words += f" --val_image_path {pairs}/images --val_{kind}_path {pairs / folder}"
        words += f" --max_steps 2 --logger_freq 1 --output_root {output} --init_extra_hint {extra}"
        train.main([*options, *words.split()])
        (run,) = output.iterdir()
        best = run / "EM_best_results.ckpt"
        assert load_state_dict(best)["control_model.input_hint_block.0.weight"].shape[1] == channels
        assert list((run / "image_log" / "train").glob("control_*.png"))
        option = {"edge": "edge_model_path", "rgba": "model_weights_path"}[kind]
        named = f"--{option} {best} --{kind}_dir {pairs / folder}"
        generate.main([*common.split(), *named.split()])
    assert len(list((tmp_path / "out").glob("run_*/images/*.png"))) == 12


@pytest.mark.parametrize(
    "words",
    [["--sd_locked", "false"], ["--sd_locked", "False"], ["--no-sd_locked"], ["--sd_locked=0"]],
)
def test_sd_locked_is_a_real_boolean(options, words):
    def model(*more):
        return train.parse_args([*options, *more])[1].model

    assert model(*words).sd_locked is False
    assert model().sd_locked is True and model().only_mid_control is False
    assert model("--only_mid_control", "False").only_mid_control is False
    assert model("--only_mid_control").only_mid_control is True


def test_unlocked_decoder_is_trained(options, tmp_path, micro_weights):
    train.main([*options, "--max_steps", "1", "--sd_locked", "false"])
    before, after = load_state_dict(micro_weights), final_state(only_run(tmp_path))[0]
    unet = {
        key.split(".")[2]
        for key in before
        if key.startswith("model.") and not torch.equal(before[key], after[key])
    }
    assert unet == {"output_blocks", "out"}


def test_defaults_are_the_published_ones():
    args = train.build_parser().parse_args([])
    published = {
        "batch_size": 2,
        "logger_freq": 300,
        "learning_rate": 1e-5,
        "condition_type": "segmentation",
        "precision": "32",
    }
    published |= {"num_workers": 0, "wandb_project": "EM-ControlNet", "rgba_alpha_scale": 1.0}
    assert {key: vars(args)[key] for key in published} == published
    assert args.resume_path == Path("models/control_sd15_ini.ckpt")
    assert args.cldm_config_path == Path("models/cldm_v15.yaml")
    assert train.build_parser().parse_args(["--resume", "x.ckpt"]).resume_path == Path("x.ckpt")


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
    line = error_line(train.main, *resume, "--max_steps", "3")
    assert "1 file(s) (cell_0.png) changed in the conditions" in line
    assert (run / "last.ckpt").read_bytes() == before


def test_weights_that_are_overwritten_during_a_training_are_named(
    options, micro_weights, tmp_path, monkeypatch
):
    start = tmp_path / "start.safetensors"
    shutil.copy(micro_weights, start)
    loaders = TrainingRun._loaders

    def overwrite(*arguments):  # in place, once the model has been built
        with open(start, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x01")
        return loaders(*arguments)

    command = [*options, "--resume_path", str(start), "--max_steps", "1"]
    monkeypatch.setattr(TrainingRun, "_loaders", overwrite)
    with pytest.warns(Notice, match=f"{start} was overwritten"):
        run_script(lambda: train.main(command))


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(options, tmp_path, capsys):
    train.main([*options, "--max_steps", "4", "--save_every", "1"])
    run = only_run(tmp_path)
    state, _, _ = final_state(run)
    (run / "last.ckpt").unlink()  # `state` is mapped from it
    (run / "last.ckpt").write_bytes(b"damaged")
    train.main(["--resume_training", str(run)])
    assert "Going on from the one before, of step 3" in capsys.readouterr().err
    again, _, step = final_state(run)
    assert step == 4
    assert all(torch.equal(state[name], again[name]) for name in state)


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


def test_accumulated_batches_are_one_step(options, tmp_path):
    train.main([*options, "--max_steps", "2", "--accumulate_grad_batches", "3"])
    assert final_state(only_run(tmp_path))[2] == 2


def test_control_only_weights_are_small_and_complete(options, tmp_path, micro_yaml, micro_weights):
    train.main([*options, "--max_steps", "3", "--save_control_only"])
    run = only_run(tmp_path)
    weights = load_state_dict(run / "EM_best_results.safetensors")
    assert all(key.startswith("control_model.") for key in weights)
    assert not (run / "EM_best_results.ckpt").exists()
    create_model(micro_yaml, run / "EM_best_results.safetensors", base_path=micro_weights)
    with safe_open(run / "EM_best_results.safetensors", framework="pt") as file:
        notes = file.metadata()
    assert notes["condition"] == "segmentation" and notes["classes"] == "3"
    assert notes["step"] == "3" and notes["licence"] == "unknown"
    assert notes["base_sha256"] == f"micro.safetensors {sha256_of(micro_weights)}"
    card = (run / "README.md").read_text()
    assert sha256_of(run / "EM_best_results.safetensors") in card and "train/loss" in card


def test_a_training_starts_from_a_control_branch_and_its_base(
    options, tmp_path, micro_weights, error_line
):
    """As from the file that has both; a run that goes on needs neither."""
    train.main([*options, "--max_steps", "2"])
    expected = final_state(only_run(tmp_path))[0]
    weights = load_state_dict(micro_weights)
    branch, base = tmp_path / "branch.safetensors", tmp_path / "base.ckpt"
    own = subset(weights, ["control_model."])
    save_weights(
        {name.removeprefix("control_model."): value for name, value in own.items()}, branch
    )
    save_weights({name: weights[name] for name in weights.keys() - own.keys()}, base)
    start = [*options, "--resume_path", str(branch), "--output_root", str(tmp_path / "apart")]
    assert "branch.safetensors: holds a control branch alone" in error_line(train.main, *start)
    start += ["--base_weights_path", str(base)]
    train.main([*start, "--max_steps", "1"])
    branch.unlink()
    base.unlink()
    (run,) = (tmp_path / "apart").iterdir()
    train.main(["--resume_training", str(run), "--max_steps", "2"])
    assert_same_tensors(final_state(run)[0], expected)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    options, tmp_path, error_line, monkeypatch
):
    step = ControlTraining.training_step

    def poisoned(self, batch, batch_idx):
        return step(self, batch, batch_idx) * (float("nan") if self.global_step == 5 else 1)

    monkeypatch.setattr(ControlTraining, "training_step", poisoned)
    line = error_line(train.main, *options, "--max_steps", 9, "--save_every", 2)
    assert "step 5: the loss is nan" in line
    assert "last.ckpt is of step 4" in line
    assert "--learning_rate" in line
    state, _, step = final_state(only_run(tmp_path))
    assert step == 4 and all(value.isfinite().all() for value in state.values())


def test_validation_is_the_same_each_time_and_feels_the_hint(options, pairs, tmp_path):
    """With weights that hardly move, two validations give the same loss and gap to 1e-5.

    The gap is not zero.
    """
    train.main([*options, *validation(pairs), "--max_epochs", "2", "--learning_rate", "1e-12"])
    callbacks = load_pickle(only_run(tmp_path) / "last.ckpt", "cpu")["callbacks"]
    history = callbacks["LossCurve"]["history"]
    for name in ("val/loss", "val/hint_gap"):
        (_, first), (_, second) = history[name]
        assert first == pytest.approx(second, rel=1e-5)
    assert abs(history["val/hint_gap"][0][1]) > 1e-6


@pytest.mark.parametrize(("views", "encoded"), [(1, 6), (2, 12), (0, 24)])
def test_a_view_is_encoded_once(options, monkeypatch, views, encoded):
    """In four epochs of six images the frozen autoencoder sees each view once.

    Latents are drawn anew from the distribution that it gave.
    """
    seen, encode, drawn = [], AutoencoderKL.encode, []
    monkeypatch.setattr(
        AutoencoderKL, "encode", lambda self, image: seen.append(image) or encode(self, image)
    )
    losses = ControlLDM.sample_losses
    monkeypatch.setattr(
        ControlLDM,
        "sample_losses",
        lambda self, x_start, *rest: drawn.extend(x_start) or losses(self, x_start, *rest),
    )
    train.main([*options, "--max_epochs", "4", "--views_per_image", str(views)])
    assert sum(map(len, seen)) == encoded
    assert len({z.sum().item() for z in drawn}) == 24


def test_keys_are_neither_stored_nor_printed(options, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    # The training sets it; monkeypatch takes it away again, or later tests would try to log in.
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setattr(sys, "argv", ["train.py", "--wandb_api_key", "a" * 40])
    train.main([*options, "--max_steps", "1", "--wandb_api_key", "a" * 40])
    wandb.finish()  # its file is complete then
    out, err = capfd.readouterr()
    run = only_run(tmp_path)
    assert (run / "wandb").is_dir()
    for path in run.rglob("*"):
        assert not path.is_file() or b"a" * 40 not in path.read_bytes(), path
    assert "a" * 40 not in out + err
    assert "***" in (run / "args.json").read_text()


def test_bad_input_is_one_line(options, pairs, tmp_path, micro_yaml, tiny_yaml, error_line):
    def fails(*words):
        return error_line(train.main, *options, *words)

    (tmp_path / "empty").mkdir()
    assert "none: no such folder" in fails("--image_path", tmp_path / "none")
    assert "empty: holds no" in fails("--mask_path", tmp_path / "empty")
    assert "--edge_path: is needed" in fails("--condition_type", "edge")
    assert "--val_image_path: belongs together with --val_mask_path" in fails(
        "--val_image_path", pairs / "images"
    )
    assert "--sd_locked" in fails("--sd_locked", "maybe")
    assert "--image_size: 60" in fails("--image_size", 60)
    assert "--save_control_only" in fails("--save_control_only", "--no-sd_locked")
    assert "none.ckpt: no such checkpoint" in fails("--resume_path", tmp_path / "none.ckpt")
    assert "tensors of another shape" in fails("--cldm_config_path", tiny_yaml, "--image_size", 64)
    if not torch.cuda.is_available():
        assert "--gpus: 1 asked for, this machine has 0" in fails("--gpus", 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameterization, "measured_parameterization", lambda model: "v")
        assert f"its U-Net predicts v, but {micro_yaml} says" in fails()
    assert not (tmp_path / "runs").exists()

    evil = yaml.safe_load(micro_yaml.read_text())
    evil["model"]["params"]["unet_config"]["target"] = "os.system"
    (tmp_path / "evil.yaml").write_text(yaml.safe_dump(evil))
    assert "target 'os.system' refused" in fails("--cldm_config_path", tmp_path / "evil.yaml")

    truncated = (pairs / "images" / "cell_0.png").read_bytes()[:200]
    (pairs / "images" / "cell_0.png").write_bytes(truncated)
    assert "cell_0.png" in fails()
    (pairs / "images" / "cell_0.png").unlink()
    assert "cell_0.png" in fails()
    write_png(pairs / "images" / "cell_0.png", np.zeros((32, 64), np.uint8))
    assert "64 x 32" in fails()
    write_png(pairs / "images" / "cell_0.png", np.zeros((64, 64), np.uint8))
    write_png(pairs / "masks" / "cell_0.png", np.full((64, 64), 255, np.uint8))
    assert "cell_0.png: found value(s) 255" in fails()


def test_no_space_left_is_one_line_and_leaves_no_half_file(
    options, tmp_path, error_line, monkeypatch
):
    def full_disk(content, path):
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr("core.weights.checkpoints.torch.save", full_disk)
    error = error_line(train.main, *options, "--max_steps", 2, "--save_every", 1)
    assert "Is the disk full?" in error
    assert not list(only_run(tmp_path).glob("*.ckpt"))
    assert not list(only_run(tmp_path).glob(".*.tmp*"))


def test_checkpoints_of_a_trainer_load_without_running_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="last.ckpt: refused"):
        WholeFileIO().load_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_dry_run_says_what_would_happen_and_writes_nothing(options, tmp_path, capsys):
    train.main([*options, "--max_epochs", "4", "--wandb_api_key", "a" * 40, "--dry_run"])
    shown = capsys.readouterr().out
    assert "a" * 40 not in shown
    assert "learning_rate: 0.001" in shown and "batch_size: 2" in shown
    assert "6 training and 0 validation pairs, 64 x 64 pixels" in shown
    assert "3 batches per epoch, 12 optimizer steps in all" in shown
    assert "last.ckpt every 500 steps" in shown
    assert not (tmp_path / "runs").exists()
    # the printed options are an options file that gives the same run
    path = tmp_path / "run.yaml"
    path.write_text(shown[: shown.index("6 training")])
    args, groups = train.parse_args(["--options_file", str(path)])
    assert groups.optimization.max_epochs == 4 and groups.optimization.learning_rate == 1e-3
    assert not args.dry_run


def test_an_options_file_gives_what_the_command_line_does_not(options, tmp_path, error_line):
    path = tmp_path / "run.yaml"
    path.write_text("batch_size: 3\nlearning_rate: 5e-4\ncrop_scale: [0.5, 1]\nsd_locked: false\n")
    args, groups = train.parse_args([*options, "--options_file", str(path)])
    assert args.batch_size == 3 and groups.optimization.learning_rate == 1e-3
    assert groups.samples.crop_scale == [0.5, 1.0] and groups.model.sd_locked is False
    path.write_text("batchsize: 3\n")
    assert "no option is named batchsize" in error_line(train.main, "--options_file", path)


@pytest.mark.parametrize("condition", ["depth", "normal"])
def test_other_conditions_train(options, pairs, tmp_path, condition):
    """What a depth estimator draws trains a branch, by the general options."""
    (pairs / "maps").mkdir()
    for path in (pairs / "masks").iterdir():
        ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, 64)
        shown = np.stack([ramp] * 3, axis=2) if condition == "normal" else ramp
        write_png(pairs / "maps" / path.name, shown)
    words = f"--condition_type {condition} --condition_path {pairs}/maps --max_steps 2"
    words += f" --val_image_path {pairs}/images --val_condition_path {pairs}/maps --logger_freq 1"
    train.main([*options, *words.split()])
    run = only_run(tmp_path)
    assert list((run / "image_log" / "train").glob("control_*.png"))
    kept = load_state_dict(run / "EM_best_results.ckpt")
    assert kept["control_model.input_hint_block.0.weight"].shape[1] == 3
