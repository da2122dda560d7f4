"""Several processes, and the jobs of scripts/*.slurm on a real Slurm where one can be started."""

import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import generate
import train
from core.command_line.groups import read_groups
from core.command_line.option_sources import parse_given, with_defaults
from core.imaging.images import write_png
from core.weights.torch_files import load_pickle
from share import REQUEUE
from training.processes import Processes
from training.run_options import GROUPS

ROOT = Path(__file__).parent.parent
SLURM = Path(os.environ.get("LOCAL_SLURM_SCRIPTS", ROOT.parent / "shared" / "slurm"))
PATIENCE = 900  # seconds; a machine with other work beside is slow


@pytest.fixture(scope="session")
def slurm():
    """Environment in which sbatch and its like reach a Slurm of our own."""
    if not (SLURM / "start-local-slurm.sh").is_file():
        pytest.skip(f"{SLURM}/start-local-slurm.sh: not there")
    env = {
        **os.environ,
        "LOCAL_SLURM_DIR": tempfile.mkdtemp(prefix="slurm-", dir="/tmp"),
        "LOCAL_SLURM_CPUS": "8",
    }
    up = subprocess.run(
        ["bash", str(SLURM / "start-local-slurm.sh")], env=env, capture_output=True, text=True
    )
    if up.returncode == 77:
        pytest.skip(up.stderr)
    assert up.returncode == 0, up.stderr
    settings = {
        "TIME": "00:10:00",
        "VENV": sys.prefix,
        "OMP_NUM_THREADS": "1",
        "PARTITION": "",
        "SITE_ENV": "",
    }
    yield {**env, **settings, "SLURM_CONF": up.stdout.strip().removeprefix("export SLURM_CONF=")}
    subprocess.run(
        ["bash", str(SLURM / "stop-local-slurm.sh"), "--purge"],
        env=env,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def five_pairs(tmp_path_factory):
    """Folder with `images` and `masks`: five 64-pixel pictures.

    Neither two processes nor batches of four divide five.
    """
    folder = tmp_path_factory.mktemp("five")
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for i in range(5):
        rows, columns = np.mgrid[:64, :64]
        mask = (columns > 12 + 4 * i).astype(np.uint8) + (columns + rows > 80 + 4 * i)
        write_png(
            folder / "images" / f"cell_{i}.png",
            (mask * 80 + rng.integers(0, 40, mask.shape)).astype(np.uint8),
        )
        write_png(folder / "masks" / f"cell_{i}.png", mask.astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def options(five_pairs, micro_yaml, micro_weights):
    """Command line of a training in batches of four and one, without the number of processes."""
    return [
        *f"--image_path {five_pairs}/images --mask_path {five_pairs}/masks".split(),
        *f"--val_image_path {five_pairs}/images --val_mask_path {five_pairs}/masks".split(),
        *f"--cldm_config_path {micro_yaml} --resume_path {micro_weights}".split(),
        *"--gpus 0 --learning_rate 1e-4 --max_steps 20".split(),
        *"--save_every 2 --log_every 1 --logger csv".split(),
    ]


@pytest.fixture(scope="module")
def whole_run(options, tmp_path_factory):
    """Run folder of two processes that were never interrupted."""
    root = tmp_path_factory.mktemp("two")
    more = f"--batch_size 2 --num_processes 2 --output_root {root}"
    done = subprocess.run(
        [sys.executable, "train.py", *options, *more.split()],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "4 images per optimizer step (2 x 2 process(es)), learning rate 0.0001" in done.stdout
    assert done.stdout.count("run folder:") == 1
    (run,) = root.iterdir()
    return run


def losses(run):
    with open(run / "csv" / "version_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) for row in rows if row.get(name)]
        for name in ("train/loss_step", "train/loss_epoch", "val/loss", "val/hint_gap")
    }


def final_state(run):
    checkpoint = load_pickle(run / "last.ckpt", "cpu")
    return checkpoint["global_step"], checkpoint["state_dict"], checkpoint["callbacks"]["LossCurve"]


def test_two_processes_train_like_one(options, whole_run, tmp_path):
    """Both see the same images per step, so losses differ only by the order of sums.

    That is a relative 1e-4 over 20 steps, in validation too.
    """
    train.main([*options, "--batch_size", "4", "--output_root", str(tmp_path)])
    (run,) = tmp_path.iterdir()
    one, two = losses(run), losses(whole_run)
    assert len(one["train/loss_step"]) == 20 and len(one["val/loss"]) == 10
    for name, values in one.items():
        assert two[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


def wait_until(condition, what):
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


def submit(env, script, sbatch_options, python_options):
    """Numbers of the jobs that a script puts into the queue."""
    command = ["bash", f"scripts/{script}", *sbatch_options, "--", *map(str, python_options)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def has_ended(env, job):
    return not subprocess.run(
        ["squeue", "-h", "-j", job], env=env, capture_output=True, text=True
    ).stdout.strip()


def wait_for_job(env, job):
    """The job's description once it has left the queue."""
    wait_until(lambda: has_ended(env, job), f"job {job} does not end")
    return subprocess.run(
        ["scontrol", "show", "job", job], env=env, capture_output=True, text=True, check=True
    ).stdout


def field(description, name):
    return re.search(rf"\b{name}=(\S+)", description)[1]


def test_a_job_out_of_time_requeues_itself_and_ends_like_one_that_was_not(
    slurm, options, whole_run, tmp_path
):
    """Weights and losses are the same bit by bit.

    Two processes run under srun. Slurm sends USR1 before the time is over.
    """
    shape = "--nodes=1 --ntasks-per-node=2 --gres=gpu:0 --cpus-per-task=1"
    shape += f" --output={tmp_path}/%j.log"
    more = f"--batch_size 2 --gpus 0 --num_processes 2 --output_root {tmp_path}"
    words = [*options, *more.split()]
    (job,) = submit(slurm, "train_multi_node.slurm", shape.split(), words)
    run, log = tmp_path / f"slurm_{job}", tmp_path / f"{job}.log"
    wait_until(
        lambda: (run / "last.ckpt").exists() or has_ended(slurm, job), "the training does not start"
    )
    assert (run / "last.ckpt").exists(), log.read_text()
    subprocess.run(["scancel", "--signal=USR1", job], env=slurm, check=True)
    description = wait_for_job(slurm, job)
    assert field(description, "JobState") == "COMPLETED", log.read_text()
    assert field(description, "Restarts") == "1", log.read_text()
    (step, weights, curve), (expected_step, expected, expected_curve) = (
        final_state(run),
        final_state(whole_run),
    )
    assert step == expected_step == 20
    assert curve == expected_curve
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)


def files_of_set(run):
    """Content by name of the pictures and the manifest; the other files hold times and folders."""
    paths = [
        run / "manifest.jsonl",
        *(
            path
            for folder in ("images", "masks", "conditions")
            for path in (run / folder).rglob("*.png")
        ),
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def test_an_array_with_a_killed_and_a_requeued_task_makes_the_same_set(
    slurm, five_pairs, micro_yaml, micro_weights, tmp_path
):
    words = f"--config_yaml_path {micro_yaml} --model_weights_path {micro_weights} --device cpu"
    words += f" --mask_dir {five_pairs}/masks --n_augmentations_per_mask 24 --ddim_steps 5 --seed 0"
    shape = f"--gres=gpu:0 --cpus-per-task=1 --output={tmp_path}/%A_%a.log"
    parts = f"{words} --output_base_dir {tmp_path}/parts".split()
    array, last = submit({**slurm, "ARRAY": "0-3"}, "generate_array.slurm", shape.split(), parts)
    run = tmp_path / "parts" / f"run_slurm_{array}"
    for task, first, command in (
        (1, 30, ["scancel"]),
        (2, 60, ["scancel", "--signal=USR1"]),
    ):  # of 120 pictures, 30 for each task
        wait_until(
            (run / "images" / f"image_cond{first // 24}_batch{first % 24 + 1}_sample0.png").exists,
            "a task does not start",
        )
        subprocess.run([*command, f"{array}_{task}"], env=slurm, check=True)
    generate.main(f"{words} --output_base_dir {tmp_path}/whole --run_id whole".split())
    description = wait_for_job(slurm, last)
    assert field(description, "JobState") == "COMPLETED"
    tasks = [wait_for_job(slurm, f"{array}_{task}") for task in range(4)]
    states = [field(task, "JobState") for task in tasks]
    assert states == ["COMPLETED", "CANCELLED", "COMPLETED", "COMPLETED"]
    assert [field(task, "Restarts") for task in tasks] == ["0", "0", "1", "0"]
    whole, parts = (files_of_set(folder) for folder in (tmp_path / "whole" / "run_whole", run))
    assert len([name for name in whole if name.startswith("images")]) == 120
    assert (run / "overview.png").exists()
    assert whole == parts


@pytest.fixture
def queued_options(tmp_path, monkeypatch):
    """Function that runs a script with a queue of our own and returns the Python options."""
    queue = tmp_path / "sbatch"
    queue.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >{tmp_path}/words\necho 17\n')
    queue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("DATA", "my_data")

    def run(script):
        subprocess.run(["bash", str(ROOT / "scripts" / script)], check=True, capture_output=True)
        words = (tmp_path / "words").read_text().splitlines()
        return words[words.index("--") + 1 :]

    return run


def test_the_papers_training_spells_everything_out(queued_options):
    parser, words = train.build_parser(), queued_options("paper_train.slurm")
    given = parse_given(parser, words)
    groups = read_groups(GROUPS, with_defaults(parser, given))
    for name in ("samples", "optimization", "model"):
        missing = {field.name for field in fields(groups[name])} - given.keys()
        # None makes a difference here: built-in prompts, all epochs, as many hint channels, first
        # weights that are whole, crops by area, a validation after each epoch, and no average of
        # weights.
        free = {"prompts_file", "max_steps", "init_extra_hint", "base_weights_path", "crop_pixels"}
        assert missing <= free | {"validate_every", "patience", "ema_decay"}
    optimization = groups["optimization"]
    assert optimization.total_steps(233, Processes(True, 1, 1)) == 117 * 600
    assert optimization.learning_rate == 1e-5 and optimization.batch_size == 2
    assert given["image_path"] == Path("my_data/train/images")


def test_the_papers_generation_spells_everything_out(queued_options):
    words = queued_options("paper_generate.slurm")
    given = parse_given(generate.build_parser(), words)
    sampling = {"sampler": "ddim", "ddim_steps": 70, "strength": 2, "scale": 9, "eta": 1}
    assert given.items() >= {**sampling, "guess_mode": False}.items()
    assert given["n_augmentations_per_mask"] == 45
    assert given["mask_dir"] == Path("my_data/train/masks")


def test_the_scripts_know_the_exit_code():
    assert f"\nREQUEUE={REQUEUE} " in (ROOT / "scripts" / "job.sh").read_text()
