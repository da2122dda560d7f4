"""Optimizer steps of a training, and the trainer that is built for them."""

import pytest
from pytorch_lightning.strategies import DDPStrategy

from core.lightning import WholeFileIO
from training.options import OptimizationOptions
from training.processes import Processes
from training.trainer import build_trainer

ONE, FOUR = Processes(False, 1, 1), Processes(False, 2, 2)


@pytest.mark.parametrize(
    ("options", "processes", "images", "steps"),
    [
        ({}, ONE, 233, 117 * 600),  # the paper: 233 images in batches of 2, 600 epochs
        ({}, FOUR, 233, 30 * 600),  # ceil(233 / 8)
        ({"accumulate_grad_batches": 4, "max_epochs": 1}, ONE, 9, 2),  # ceil(5 / 4)
        ({"max_steps": 10}, ONE, 233, 10),
        ({"max_steps": 10, "max_epochs": 1}, ONE, 4, 2),
    ],
)
def test_total_steps(options, processes, images, steps):
    assert OptimizationOptions(**options).total_steps(images, processes) == steps


def test_the_size_of_a_step_in_words():
    options = OptimizationOptions(batch_size=3, accumulate_grad_batches=2)
    assert options.whole_batch(FOUR) == 12
    assert options.describe(24, FOUR) == (
        "24 images per optimizer step (3 x 4 process(es) x 2 batches), learning rate 1e-05"
    )
    assert options.describe(23, FOUR) == (
        "23 images per optimizer step (3 x 4 process(es) x 2 batches, as many as an epoch has), "
        "learning rate 1e-05"
    )


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_trainer_for_several_processes(tmp_path, accumulated):
    options = OptimizationOptions(accumulate_grad_batches=accumulated, max_steps=7)
    trainer = build_trainer(options, Processes(False, 2, 1), "bf16", tmp_path, [], 10, [])
    assert trainer.max_steps == 7 and trainer.precision == "bf16-mixed"
    assert isinstance(trainer.strategy, DDPStrategy)
    # A static graph would fail where gradients add up before they are exchanged.
    assert trainer.strategy._ddp_kwargs["static_graph"] == (accumulated == 1)
    assert isinstance(trainer.strategy.checkpoint_io, WholeFileIO)


def test_one_process_needs_no_exchange(tmp_path):
    trainer = build_trainer(OptimizationOptions(), ONE, "32", tmp_path, [], 10, [])
    assert not isinstance(trainer.strategy, DDPStrategy)
    assert trainer.max_steps == -1 and trainer.max_epochs == 600
