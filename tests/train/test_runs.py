"""Folders that trainings leave, for every condition and way to start."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

import generate
import train
from cldm.base_encoder import encoder_values
from cldm.controlnet import ControlledDiffusionModel
from cldm.model import create_model
from core.files import sha256_of
from core.imaging.images import write_png
from core.imaging.labels import read_labels
from core.weights.checkpoints import load_state_dict, save_weights, subset
from core.weights.torch_files import load_pickle
from ldm.models.autoencoder import AutoencoderKL
from tests.trained import final_state, only_run, validation
from tests.weights import assert_same_tensors


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


def test_unlocked_decoder_is_trained(options, tmp_path, micro_weights):
    train.main([*options, "--max_steps", "1", "--sd_locked", "false"])
    before, after = load_state_dict(micro_weights), final_state(only_run(tmp_path))[0]
    unet = {
        key.split(".")[2]
        for key in before
        if key.startswith("model.") and not torch.equal(before[key], after[key])
    }
    assert unet == {"output_blocks", "out"}


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
    assert notes["base_encoder_values"] == encoder_values(load_state_dict(micro_weights))
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
    assert "--base_weights_path: " in (line := error_line(train.main, *start))
    assert "branch.safetensors: holds a control branch alone" in line
    start += ["--base_weights_path", str(base)]
    train.main([*start, "--max_steps", "1"])
    branch.unlink()
    base.unlink()
    (run,) = (tmp_path / "apart").iterdir()
    train.main(["--resume_training", str(run), "--max_steps", "2"])
    assert_same_tensors(final_state(run)[0], expected)


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
    losses = ControlledDiffusionModel.sample_losses
    monkeypatch.setattr(
        ControlledDiffusionModel,
        "sample_losses",
        lambda self, x_start, *rest: drawn.extend(x_start) or losses(self, x_start, *rest),
    )
    train.main([*options, "--max_epochs", "4", "--views_per_image", str(views)])
    assert sum(map(len, seen)) == encoded
    assert len({z.sum().item() for z in drawn}) == 24


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
