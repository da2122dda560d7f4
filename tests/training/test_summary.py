"""The plan of a training: its numbers follow from pairs, batches and epochs."""

from pathlib import Path

import train
from core.command_line.groups import read_groups
from training.data.datasets import DataSets
from training.processes import Processes
from training.run_options import GROUPS, TrainingOptions
from training.summary import plan_text


class Pairs(list):
    image_size, pixel_size = 64, None


def plan(words, num_processes=1, validation=None):
    args = train.build_parser().parse_args(f"--image_path a --mask_path b {words}".split())
    options = TrainingOptions(**read_groups(GROUPS, args))
    data = DataSets(Pairs(range(7)), validation)
    return plan_text(options, data, Processes(False, num_processes, 1), Path("runs/x"))


def test_steps_follow_from_pairs_batches_and_epochs():
    shown = plan("--batch_size 2 --max_epochs 3")
    assert "7 training and 0 validation pairs, 64 x 64 pixels, pixel size unknown" in shown
    assert "4 batches per epoch, 12 optimizer steps in all\n" in shown  # 2 + 2 + 2 + 1 pairs
    assert "run folder: runs/x\n" in shown and "EM_best_results.ckpt" in shown
    shared = plan("--batch_size 2 --max_epochs 3", num_processes=2)
    assert "2 batches per epoch, 6 optimizer steps in all" in shared


def test_the_plan_names_validations_and_the_kind_of_file():
    shown = plan(
        "--val_image_path c --val_mask_path d --validate_every 5 --save_control_only",
        validation=Pairs(range(3)),
    )
    assert "3 validation pairs" in shown and ", validation every 5 steps" in shown
    assert "EM_best_results.safetensors" in shown and "EM_best_results.ckpt" not in shown
