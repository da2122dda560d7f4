"""Training and validation steps of a control branch."""

import re
from pathlib import Path

import pytest
import torch

from core.samples import Sample, SampleKey, collate
from core.weights.checkpoints import load_state_dict
from tests.weights import fill_zero_layers
from training.step.frozen import FrozenEncoders
from training.step.latents import LatentCache
from training.step.module import ControlTraining


@pytest.fixture
def module(tiny_cldm, tmp_path):
    fill_zero_layers(tiny_cldm.control_model, std=0.05)
    encoders = FrozenEncoders(tiny_cldm, LatentCache(10**6, tmp_path))
    return ControlTraining(tiny_cldm, encoders, learning_rate=1e-3)


def sample(number, weight, other_hint=None):
    generator = torch.Generator().manual_seed(number)
    image, hint = torch.rand(2, 64, 64, 3, generator=generator)
    key = SampleKey(number, number, -1 - number)
    return Sample(key, image * 2 - 1, "a cell", hint, other_hint, weight=weight, whole_batch=2)


def logged(module, monkeypatch):
    found = []
    monkeypatch.setattr(
        module, "log", lambda name, value, **options: found.append((name, float(value)))
    )
    monkeypatch.setattr(module, "log_dict", lambda values, **options: found.extend(values.items()))
    return found


def test_state_has_the_published_names(module, tiny_cldm):
    assert module.state_dict().keys() == tiny_cldm.state_dict().keys()
    changed = {name: value + 1 for name, value in module.state_dict().items()}
    module.load_state_dict(changed)
    assert all(torch.equal(value, changed[name]) for name, value in tiny_cldm.state_dict().items())


def written_kilobytes(tensor):
    """What this process has written to the mapping that holds a tensor, by Linux's count."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match("([0-9a-f]+)-([0-9a-f]+) ", line):
            start, end = (int(address, 16) for address in found.groups())
            inside = start <= tensor.data_ptr() < end
        elif inside and line.startswith("Anonymous:"):
            return int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="not Linux")
def test_weights_that_are_the_same_stay_a_part_of_their_file(module, tmp_path):
    """A run that goes on takes no more memory than a new one."""
    torch.save(module.state_dict(), tmp_path / "last.ckpt")
    mapped = load_state_dict(tmp_path / "last.ckpt")
    module.model.load_state_dict(mapped, assign=True)
    name = next(iter(mapped))
    module.load_state_dict(load_state_dict(tmp_path / "last.ckpt"))
    assert written_kilobytes(module.state_dict()[name]) == 0
    changed = {name: value + 1 for name, value in mapped.items()}
    module.load_state_dict(changed)
    assert written_kilobytes(module.state_dict()[name]) > 0


def test_weighted_parts_add_up_to_the_whole_batch(module, monkeypatch):
    logged(module, monkeypatch)
    with torch.no_grad():
        whole = module.training_step(collate([sample(0, 0.5), sample(1, 0.5)]), 0)
        parts = [module.training_step(collate([sample(i, 0.5)]), 0) for i in range(2)]
    torch.testing.assert_close(sum(parts), whole)


def test_a_sample_of_weight_zero_does_not_count(module, monkeypatch):
    logged(module, monkeypatch)
    with torch.no_grad():
        assert module.training_step(collate([sample(0, 0.0)]), 0) == 0


def test_only_the_control_branch_learns(module):
    module.setup("fit")
    (group,) = module.configure_optimizers().param_groups
    trained = {id(parameter) for parameter in group["params"]}
    for name, parameter in module.model.named_parameters():
        expected = name.startswith("control_model.")
        assert (id(parameter) in trained) == parameter.requires_grad == expected, name
    assert group["lr"] == 1e-3


@torch.no_grad()
def test_validation_is_repeatable_and_shows_the_gap(module, monkeypatch):
    found = logged(module, monkeypatch)
    hints = [sample(i, 0.5).hint for i in range(2)]
    swapped = collate([sample(i, 0.5, hints[1 - i]) for i in range(2)])
    module.validation_step(swapped, 0)
    torch.manual_seed(99)
    module.validation_step(swapped, 0)
    module.validation_step(collate([sample(i, 0.5, hints[i]) for i in range(2)]), 0)
    assert [name for name, _ in found] == ["val/loss", "val/hint_gap"] * 3
    assert found[:2] == found[2:4] and found[1][1] != 0
    assert found[5] == ("val/hint_gap", 0.0)  # the right hints have no gap


@torch.no_grad()
def test_a_single_validation_sample_has_no_gap(module, monkeypatch):
    found = logged(module, monkeypatch)
    module.validation_step(collate([sample(0, 1.0)]), 0)
    assert [name for name, _ in found] == ["val/loss"]
