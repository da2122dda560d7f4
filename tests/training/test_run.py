"""A training run as its device has it: loaders, compiled networks, packed weights."""

from types import SimpleNamespace

import pytest

from ldm.modules.locked_layers import LockedConv2d, LockedLinear
from ldm.modules.packing import can_pack
from training.processes import Processes, ProcessOptions
from training.run import TrainingRun
from training.step.latents import LatentCache


def run_on(on_gpu, **options):
    """The parts of a run that the functions below read."""
    data = SimpleNamespace(num_workers=0)
    groups = SimpleNamespace(processes=ProcessOptions(**options), data=data)
    return SimpleNamespace(processes=Processes(on_gpu, 1, 1), options=groups)


@pytest.mark.parametrize("on_gpu", [True, False])
def test_batches_are_pinned_for_gpus_alone(on_gpu, tmp_path):
    trainer, cache = SimpleNamespace(global_rank=0, world_size=1), LatentCache(0, tmp_path)
    loader = TrainingRun._loader(run_on(on_gpu), trainer, [1, 2], [], cache)
    assert loader.pin_memory == on_gpu


def test_the_locked_network_and_its_branch_are_compiled(tiny_cldm, monkeypatch):
    compiled = []
    monkeypatch.setattr("training.run.compile_networks", compiled.extend)
    TrainingRun._speed_up(run_on(True), tiny_cldm)
    assert compiled == []
    TrainingRun._speed_up(run_on(True, compile=True), tiny_cldm)
    assert compiled == [tiny_cldm.model.diffusion_model, tiny_cldm.control_model]


@pytest.mark.skipif(not can_pack(), reason="no oneDNN with bf16 here")
@pytest.mark.parametrize(
    ("on_gpu", "precision", "packed"),
    [(False, "bf16", True), (False, "32", False), (True, "bf16", False)],
)
def test_the_locked_network_is_packed_in_bf16_on_a_cpu(tiny_cldm, on_gpu, precision, packed):
    TrainingRun._speed_up(run_on(on_gpu, precision=precision), tiny_cldm)
    kinds = {type(layer) for layer in tiny_cldm.model.modules()}
    assert (LockedConv2d in kinds and LockedLinear in kinds) == packed
    assert LockedLinear not in {type(layer) for layer in tiny_cldm.control_model.modules()}
