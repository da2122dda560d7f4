"""Checkpoints of a training."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ldm.modules.locked_layers import LockedLinear
from training.callbacks.checkpoints import ALIGNMENT, SIGNALS, SaveLast, align_weights


def test_weights_move_to_where_torch_puts_new_ones():
    """As after a file whose header ends at any byte; aligned weights stay where they are."""
    memory = torch.arange(80.0)
    model = nn.Linear(4, 4, bias=False)
    model.weight = nn.Parameter(memory[4:20].view(4, 4))
    model.register_buffer("scale", memory[32:36])
    align_weights(model)
    assert model.weight.data_ptr() % ALIGNMENT == 0 and torch.equal(
        model.weight.data.flatten(), memory[4:20]
    )
    assert model.weight.requires_grad and model.scale.data_ptr() == memory[32:].data_ptr()


def test_weights_that_are_only_rounded_stay_where_they_are():
    memory = torch.arange(80.0)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    for layer in model:
        layer.weight = nn.Parameter(memory[4:20].view(4, 4), requires_grad=False)
    model[0].__class__ = LockedLinear
    align_weights(model)
    assert model[0].weight.data_ptr() == memory[4:].data_ptr()
    assert model[1].weight.data_ptr() % ALIGNMENT == 0


@pytest.fixture
def saved_signals():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_during_the_agreement_of_processes_ends_the_next_step(tmp_path, saved_signals):
    """It comes after the process gave its own answer and before it has that of all."""

    def reduce(value, reduce_op):
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        return value

    counts = SimpleNamespace(ready=0, processed=1)
    position = SimpleNamespace(batch_progress=SimpleNamespace(is_last_batch=False))
    loop = SimpleNamespace(
        epoch_progress=SimpleNamespace(current=counts),
        restarted_on_epoch_start=False,
        epoch_loop=position,
    )
    saved = []
    trainer = SimpleNamespace(
        fit_loop=loop,
        world_size=2,
        strategy=SimpleNamespace(reduce=reduce),
        global_step=1,
        max_steps=9,
        should_stop=False,
        save_checkpoint=lambda path, weights_only: saved.append(trainer.global_step),
    )
    module = nn.Linear(1, 1)
    module.device = "cpu"
    callback = SaveLast(tmp_path, every_n_steps=9, whole_batch=2)
    callback.on_train_start(trainer, module)
    callback.on_validation_end(trainer, module)
    assert saved == []
    trainer.global_step = 2
    with pytest.raises(KeyboardInterrupt):
        callback.on_validation_end(trainer, module)
    assert saved == [2] and callback.signal_received == signal.SIGUSR1


def test_a_stop_before_the_first_save_says_how_to_begin(tmp_path, capsys, caplog):
    for words, expected in ((["go on"], "start it again"), (["go on", "go on"], "go on")):
        with pytest.raises(KeyboardInterrupt), SaveLast(tmp_path, 1, 1).telling_stop(*words):
            raise KeyboardInterrupt
        assert f"nothing is saved yet; {expected}" in capsys.readouterr().out + caplog.text
