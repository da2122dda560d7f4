"""Errors of a training: one line, and no half-written file."""

import os
import shutil

import numpy as np
import pytest
import torch
import yaml

import train
from cldm import parameterization
from core.imaging.images import write_png
from core.lightning import WholeFileIO
from core.notices import Notice
from share import run_script
from tests.trained import final_state, only_run
from training.data.loaders import build_loader
from training.step.module import ControlTraining


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
    assert "lower learning rate" in line
    state, _, step = final_state(only_run(tmp_path))
    assert step == 4 and all(value.isfinite().all() for value in state.values())


def test_weights_that_are_overwritten_during_a_training_are_named(
    options, micro_weights, tmp_path, monkeypatch
):
    start = tmp_path / "start.safetensors"
    shutil.copy(micro_weights, start)

    def overwrite(*arguments):  # in place, once the model has been built
        with open(start, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x01")
        return build_loader(*arguments)

    command = [*options, "--resume_path", str(start), "--max_steps", "1"]
    monkeypatch.setattr("training.run.build_loader", overwrite)
    with pytest.warns(Notice, match=f"{start} was overwritten"):
        run_script(lambda: train.main(command))


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
