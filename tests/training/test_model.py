"""A model as its device trains it: compiled or recorded networks, packed weights."""

import pytest

from core.notices import Notice
from ldm.modules.locked_layers import LockedConv2d, LockedLinear
from ldm.modules.packing import can_pack
from ldm.modules.trained_layers import TrainedConv2d, TrainedLinear
from training.model import speed_up
from training.processes import Processes, ProcessOptions
from training.step.gradient_checkpointing import set_checkpointing


def speed_up_on(on_gpu, model, processes=1, added_up=1, **options):
    speed_up(model, ProcessOptions(**options), Processes(on_gpu, processes, 1), added_up)


def test_the_locked_network_and_its_branch_are_compiled(tiny_cldm, monkeypatch):
    compiled = []
    monkeypatch.setattr("cldm.speed.compile_networks", compiled.extend)
    speed_up_on(True, tiny_cldm, cuda_graphs=False)
    assert compiled == []
    speed_up_on(True, tiny_cldm, compile=True)
    assert compiled == [tiny_cldm.model.diffusion_model, tiny_cldm.control_model]


@pytest.mark.parametrize(
    ("on_gpu", "options", "checkpointing", "recorded"),
    [
        (True, {}, False, True),
        (True, {"cuda_graphs": False}, False, False),
        (True, {"compile": True}, False, False),
        (True, {"processes": 2}, False, False),
        (True, {"added_up": 2}, False, False),
        (True, {}, True, False),  # it computes again what a graph has kept
        (False, {}, False, False),
    ],
)
def test_steps_are_recorded_where_gradients_stay_in_place(
    tiny_cldm, monkeypatch, on_gpu, options, checkpointing, recorded
):
    models = []
    monkeypatch.setattr("cldm.speed.record_training", models.append)
    set_checkpointing(tiny_cldm, checkpointing)
    speed_up_on(on_gpu, tiny_cldm, **options)
    assert models == [tiny_cldm] * recorded


@pytest.mark.skipif(not can_pack(), reason="no oneDNN with bf16 here")
@pytest.mark.parametrize(
    ("on_gpu", "precision", "packed"),
    [(False, "bf16", True), (False, "32", False), (True, "bf16", False)],
)
def test_the_locked_network_is_packed_in_bf16_on_a_cpu(tiny_cldm, on_gpu, precision, packed):
    speed_up_on(on_gpu, tiny_cldm, precision=precision)
    kinds = {type(layer) for layer in tiny_cldm.model.modules()}
    assert (LockedConv2d in kinds and LockedLinear in kinds) == packed
    kinds = {type(layer) for layer in tiny_cldm.control_model.modules()}
    assert LockedLinear not in kinds
    assert (TrainedConv2d in kinds and TrainedLinear in kinds) == packed


def test_bf16_where_it_is_slow_is_a_notice(tiny_cldm, monkeypatch):
    monkeypatch.setattr("core.hardware.bf16.bf16_time_on_cpu", lambda: 3.0)
    with pytest.warns(Notice, match="bf16: a product takes 3.0 times as long"):
        speed_up_on(False, tiny_cldm, precision="bf16")


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_freed_memory_is_kept_on_a_cpu(tiny_cldm, monkeypatch, on_gpu, precision):
    kept = []
    monkeypatch.setattr("cldm.speed.keep_freed_memory", lambda: kept.append(True))
    speed_up_on(on_gpu, tiny_cldm, precision=precision, cuda_graphs=False)
    assert bool(kept) != on_gpu
