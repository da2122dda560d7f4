"""Weights files that are written to while a program uses them."""

import os
import shutil

import pytest
import torch

import share
from core.notices import Notice
from core.weights.checkpoints import load_state_dict, save_weights
from core.weights.weights_in_use import forget_weights, note_weights, overwritten_weights


@pytest.fixture
def weights(tmp_path):
    forget_weights()
    save_weights({"a": torch.ones(3)}, tmp_path / "weights.safetensors")
    yield tmp_path / "weights.safetensors"
    forget_weights()


def write_in_place(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x40")


def test_a_file_that_is_written_in_place(weights):
    tensors = load_state_dict(weights)
    assert overwritten_weights() == []
    write_in_place(weights)
    assert tensors["a"][-1] != 1  # the tensors are mapped, so it matters
    assert overwritten_weights() == [weights]
    note_weights(weights)  # a second reading does not excuse it
    assert overwritten_weights() == [weights]


def test_files_that_are_replaced_or_gone_leave_the_tensors_as_they_were(weights, tmp_path):
    tensors = load_state_dict(weights)
    shutil.copy(weights, tmp_path / "other")
    write_in_place(tmp_path / "other")
    os.replace(tmp_path / "other", weights)
    assert overwritten_weights() == [] and tensors["a"].tolist() == [1, 1, 1]
    weights.unlink()
    assert overwritten_weights() == []
    note_weights(tmp_path / "absent")


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_a_program_says_so_at_its_end(weights, end):
    def main():
        load_state_dict(weights)
        write_in_place(weights)
        if end:
            raise end

    with pytest.warns(Notice, match=f"{weights} was overwritten"):
        try:
            share.run_script(main)
        except SystemExit as stop:
            assert stop.code == 130
