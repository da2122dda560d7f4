"""A training run as its device has it: loaders, compiled networks, packed weights."""

from types import SimpleNamespace

import pytest

from core.notices import Notice
from ldm.modules.locked_layers import LockedConv2d, LockedLinear
from ldm.modules.packing import can_pack
from ldm.modules.trained_layers import TrainedConv2d, TrainedLinear
from training.processes import Processes, ProcessOptions
from training.run import TrainingRun
from training.step.gradient_checkpointing import set_checkpointing
from training.step.latents import LatentCache


def run_on(on_gpu, processes=1, accumulate=1, **options):
    """A run with the parts that the functions below read."""
    run = TrainingRun.__new__(TrainingRun)
    run.processes = Processes(on_gpu, processes, 1)
    run.options = SimpleNamespace(
        processes=ProcessOptions(**options),
        data=SimpleNamespace(num_workers=0),
        optimization=SimpleNamespace(accumulate_grad_batches=accumulate),
    )
    return run


@pytest.mark.parametrize("on_gpu", [True, False])
def test_batches_are_pinned_for_gpus_alone(on_gpu, tmp_path):
    trainer, cache = SimpleNamespace(global_rank=0, world_size=1), LatentCache(0, tmp_path)
    loader = run_on(on_gpu)._loader(trainer, [1, 2], [], cache)
    assert loader.pin_memory == on_gpu


def test_the_locked_network_and_its_branch_are_compiled(tiny_cldm, monkeypatch):
    compiled = []
    monkeypatch.setattr("cldm.speed.compile_networks", compiled.extend)
    run_on(True, cuda_graphs=False)._speed_up(tiny_cldm)
    assert compiled == []
    run_on(True, compile=True)._speed_up(tiny_cldm)
    assert compiled == [tiny_cldm.model.diffusion_model, tiny_cldm.control_model]


@pytest.mark.parametrize(
    ("on_gpu", "options", "checkpointing", "recorded"),
    [
        (True, {}, False, True),
        (True, {"cuda_graphs": False}, False, False),
        (True, {"compile": True}, False, False),
        (True, {"processes": 2}, False, False),
        (True, {"accumulate": 2}, False, False),
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
    run_on(on_gpu, **options)._speed_up(tiny_cldm)
    assert models == [tiny_cldm] * recorded


@pytest.mark.skipif(not can_pack(), reason="no oneDNN with bf16 here")
@pytest.mark.parametrize(
    ("on_gpu", "precision", "packed"),
    [(False, "bf16", True), (False, "32", False), (True, "bf16", False)],
)
def test_the_locked_network_is_packed_in_bf16_on_a_cpu(tiny_cldm, on_gpu, precision, packed):
    run_on(on_gpu, precision=precision)._speed_up(tiny_cldm)
    kinds = {type(layer) for layer in tiny_cldm.model.modules()}
    assert (LockedConv2d in kinds and LockedLinear in kinds) == packed
    kinds = {type(layer) for layer in tiny_cldm.control_model.modules()}
    assert LockedLinear not in kinds
    assert (TrainedConv2d in kinds and TrainedLinear in kinds) == packed


def test_bf16_where_it_is_slow_is_a_notice(tiny_cldm, monkeypatch):
    monkeypatch.setattr("core.hardware.bf16.bf16_time_on_cpu", lambda: 3.0)
    with pytest.warns(Notice, match="bf16: a product takes 3.0 times as long"):
        run_on(on_gpu=False, precision="bf16")._speed_up(tiny_cldm)


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_freed_memory_is_kept_on_a_cpu(tiny_cldm, monkeypatch, on_gpu, precision):
    kept = []
    monkeypatch.setattr("cldm.speed.keep_freed_memory", lambda: kept.append(True))
    run_on(on_gpu, precision=precision, cuda_graphs=False)._speed_up(tiny_cldm)
    assert bool(kept) != on_gpu
