"""How many processes a training has, on what, and the name of the folder that they share."""

import pytest
import torch

from core.command_line.options import OptionError
from training.processes import (
    RUN_ID_VARIABLE,
    Processes,
    ProcessOptions,
    count_processes,
    name_run,
)


@pytest.fixture
def machine(monkeypatch):
    """Function that sets the number of GPUs; no launcher has started anything."""
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS", RUN_ID_VARIABLE):
        monkeypatch.delenv(name, raising=False)

    def with_gpus(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return with_gpus


@pytest.mark.parametrize(
    ("found", "options", "expected"),
    [
        (0, {}, Processes(False, 1, 1)),
        (0, {"num_processes": 3}, Processes(False, 3, 1)),
        (4, {}, Processes(True, 1, 1)),  # one GPU when nothing is asked for
        (4, {"gpus": 2, "num_nodes": 3}, Processes(True, 2, 3)),
        (4, {"gpus": -1}, Processes(True, 4, 1)),
        (4, {"gpus": 0, "num_processes": 2}, Processes(False, 2, 1)),
    ],
)
def test_processes_that_the_options_ask_for(machine, found, options, expected):
    machine(found)
    asked = ProcessOptions(**options)
    asked.check()
    processes = count_processes(asked, has_name=False)
    assert processes == expected and processes.total == expected.per_node * expected.nodes


@pytest.mark.parametrize(
    ("found", "options", "field"),
    [
        (0, {"gpus": 1}, "gpus"),
        (0, {"gpus": -1}, "gpus"),
        (2, {"gpus": 3}, "gpus"),
        (2, {"gpus": -2}, "gpus"),
        (0, {"compile": True}, "compile"),
        (2, {"compile": True, "gpus": 0}, "compile"),
        (2, {"compile": True, "gpus": -1}, "compile"),
        (1, {"compile": True, "num_nodes": 2}, "compile"),
        (2, {"num_processes": 2}, "num_processes"),
        (0, {"precision": "16"}, "precision"),
        (2, {"precision": "16", "gpus": 0}, "precision"),
    ],
)
def test_what_this_machine_lacks_is_refused(machine, found, options, field):
    machine(found)
    with pytest.raises(OptionError) as error:
        ProcessOptions(**options).check()
    assert error.value.field == field


def test_launchers_must_start_as_many_processes_as_asked_for(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    two = ProcessOptions(num_processes=2)
    assert count_processes(two, has_name=True).total == 2
    with pytest.raises(ValueError, match="--run_id is needed with 2 processes of srun"):
        count_processes(two, has_name=False)
    with pytest.raises(ValueError, match=r"srun started 2 process\(es\), but --num_processes 1"):
        count_processes(ProcessOptions(), has_name=True)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setenv("WORLD_SIZE", "3")
    count_processes(two, has_name=True)  # without torchrun, the variable means nothing
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(ValueError, match="torchrun started 3"):
        count_processes(two, has_name=True)


def test_processes_that_lightning_starts_learn_the_name(machine, monkeypatch):
    one, two = Processes(False, 1, 1), Processes(False, 2, 1)
    assert name_run("mine", two) == "mine"
    assert name_run(None, one) != name_run(None, one)
    monkeypatch.setenv(RUN_ID_VARIABLE, "of-the-first")  # as its children find it
    assert name_run(None, two) == "of-the-first"
