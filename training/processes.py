"""The processes of a training: how many there are, on what, and the folder they share."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from core.command_line.options import OptionError, option, positive_int
from core.hardware.compiling import check_compile, compile_option
from core.hardware.device_options import (
    check_precision,
    cuda_graphs_option,
    precision_option,
)
from core.recording.records import new_run_id

RUN_ID_VARIABLE = "TRAIN_RUN_ID"  # tells processes that Lightning starts the name of the run


@dataclass(frozen=True)
class ProcessOptions:
    """Machines, GPUs and precision."""

    gpus: int | None = option(
        None,
        int,
        "INT",
        "GPUs to use: 0 for the CPU, -1 for all; 1 when not given, or the CPU where there is none",
        free_on_resume=True,
    )
    num_processes: int = option(
        1,
        positive_int,
        "INT",
        "training processes per machine where there is no GPU (--gpus 0)",
        free_on_resume=True,
    )
    num_nodes: int = option(
        1,
        positive_int,
        "INT",
        "machines, each with --gpus GPUs; srun or torchrun starts the processes",
        free_on_resume=True,
    )
    precision: str = precision_option()
    compile: bool = compile_option()
    cuda_graphs: bool = cuda_graphs_option()

    def check(self):
        """Raise OptionError where this machine lacks what is asked for."""
        import torch  # here, because it takes seconds

        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        self._check_gpus(found)
        if self.num_processes > 1 and self.gpus != 0 and found:
            raise OptionError(
                "num_processes",
                "is for the CPU, with --gpus 0; on GPUs, --gpus says how many processes there are",
            )
        device_type = "cuda" if found and self.gpus != 0 else "cpu"
        check_precision(self.precision, device_type)
        check_compile(self.compile, device_type)
        here = found if self.gpus == -1 else self.gpus or 1
        if self.compile and here * self.num_nodes > 1:
            # Compiled parts of a model whose gradients are exchanged were never tried.
            raise OptionError("compile", "trains on one GPU only")

    def _check_gpus(self, found: int) -> None:
        """Raise OptionError for more GPUs than were found, or for all of none."""
        lowest = -1 if found else 0  # -1: all of them
        if self.gpus is not None and not lowest <= self.gpus <= found:
            raise OptionError(
                "gpus", f"{self.gpus} asked for, this machine has {found}; 0 trains on the CPU"
            )


class Processes(NamedTuple):
    """Processes of a training."""

    on_gpu: bool
    per_node: int
    nodes: int

    @property
    def total(self) -> int:
        return self.per_node * self.nodes


def count_processes(options: ProcessOptions, has_name: bool) -> Processes:
    """The processes that the options ask for.

    Args:
        has_name: whether the run's folder is named, so that all processes find it.
    Raises:
        ValueError: srun or torchrun started another number of processes, or the run has no name.
    """
    import torch  # here, because it takes seconds

    # Without `--gpus` a machine that has none trains on the CPU, where `--num_processes` counts.
    on_gpu = options.gpus != 0 and torch.cuda.is_available()
    gpus = torch.cuda.device_count() if options.gpus == -1 else options.gpus or 1
    per_node = gpus if on_gpu else options.num_processes
    processes = Processes(on_gpu, per_node, options.num_nodes)
    for launcher, started in _started_by_launchers():
        if started != processes.total:
            raise ValueError(
                f"{launcher} started {started} process(es), but "
                f"--{'gpus' if on_gpu else 'num_processes'} {per_node} and --num_nodes "
                f"{options.num_nodes} need {processes.total}"
            )
        if started > 1 and not has_name:
            raise ValueError(
                f"--run_id is needed with {started} processes of {launcher}: all work in one folder"
            )
    return processes


def _started_by_launchers() -> list[tuple[str, int]]:
    """(launcher, number of processes it started) as the environment tells."""
    found = []
    # WORLD_SIZE alone may be left over from something else.
    if "TORCHELASTIC_RUN_ID" in os.environ and "WORLD_SIZE" in os.environ:
        found.append(("torchrun", int(os.environ["WORLD_SIZE"])))
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        found.append(("srun", int(os.environ["SLURM_STEP_NUM_TASKS"])))
    return found


def name_run(run_id: str | None, processes: Processes) -> str:
    """Name of a new run's folder, the same in all its processes."""
    if run_id:
        return run_id
    if processes.total == 1:
        return new_run_id()
    # Processes that Lightning starts run this script again, with the environment of the first.
    return os.environ.setdefault(RUN_ID_VARIABLE, new_run_id())
