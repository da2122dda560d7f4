"""Weights that were trained on other prompts than those at hand."""

import pytest
import torch

from cldm.unknown_prompts import TRAINED, notify_of_unknown_prompts
from core.notices import Notice
from core.recording.records import RECORD
from core.weights.checkpoints import save_torch, save_weights

WEIGHTS = {"a": torch.zeros(2)}


def test_weights_of_another_program(tmp_path):
    path = tmp_path / "EM_best_results.ckpt"
    save_torch({"state_dict": WEIGHTS, TRAINED: "1.5.0"}, path)
    with pytest.warns(Notice, match=f"{path}: no record .* published code, its dataset.py"):
        notify_of_unknown_prompts(path, None)


@pytest.mark.filterwarnings("error")
def test_weights_whose_prompts_are_known_or_that_saw_none(tmp_path):
    trained = tmp_path / "run" / "EM_best_results.ckpt"
    trained.parent.mkdir()
    save_torch({"state_dict": WEIGHTS, TRAINED: "2.6.0"}, trained)
    notify_of_unknown_prompts(trained, tmp_path / "dataset.py")
    (trained.parent / RECORD).touch()
    notify_of_unknown_prompts(trained, None)
    for name in ("control_sd15_ini.ckpt", "branch.safetensors"):  # starting weights
        save_weights(WEIGHTS, tmp_path / name)
        notify_of_unknown_prompts(tmp_path / name, None)
    notify_of_unknown_prompts(tmp_path / "absent.ckpt", None)
