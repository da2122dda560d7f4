"""The model of a run, with the weights that it starts or goes on from, ready to be trained."""

import torch

from cldm.controlnet import ControlledDiffusionModel
from cldm.model import build_model
from cldm.parameterization import check_parameterization
from cldm.speed import speed_up_training
from cldm.unknown_prompts import notify_of_unknown_prompts
from core.command_line.options import option_names
from core.hardware.bf16 import notify_of_slow_bf16
from core.notices import report
from core.recording.run_files import LAST
from training.callbacks.checkpoints import align_weights
from training.processes import Processes, ProcessOptions
from training.run import TrainingRun
from training.step.frozen import FrozenEncoders
from training.step.gradient_checkpointing import (
    StepSize,
    choose_checkpointing,
    memory_per_process,
    uses_checkpointing,
)
from training.step.latents import GB, LatentCache
from training.step.module import ControlTraining


def build_module(run: TrainingRun, device: torch.device) -> ControlTraining:
    """The model with the weights that the run starts or goes on from, on the CPU.

    Args:
        device: where it will be trained.
    """
    options = run.options.model
    # Measured here: later the model itself has taken some of it.
    free = memory_per_process(device, run.processes.per_node)
    params = {"sd_locked": options.sd_locked, "only_mid_control": options.only_mid_control}
    with option_names({"base_path": "base_weights_path"}):
        model = build_model(
            options.cldm_config_path,
            run.run_dir / LAST if run.resumed else options.resume_path,
            run.datasets.train.condition.hint_channels,
            options.init_extra_hint,
            {"model": {"params": params}},
            base_path=None if run.resumed else options.base_weights_path,
        )
    if not run.resumed:
        notify_of_unknown_prompts(options.resume_path, run.options.samples.prompts_file)
        base = options.base_weights_path or options.resume_path
        check_parameterization(model, options.cldm_config_path, base)
    _choose_checkpointing(run, model, device, free)
    # Each process keeps the views that it meets; no latents travel between processes.
    cache = LatentCache(run.options.cache.latent_memory * GB, run.run_dir)
    encoders = FrozenEncoders(model, cache)
    optimization = run.options.optimization
    module = ControlTraining(model, encoders, optimization.learning_rate, optimization.ema_decay)
    added_up = optimization.accumulate_grad_batches
    speed_up(model, run.options.processes, run.processes, added_up)
    return module


def _choose_checkpointing(run: TrainingRun, model, device: torch.device, free: int) -> None:
    """Do as `--gradient_checkpointing` says, and report what `auto` decided."""
    optimization, choice = run.options.optimization, run.options.memory.gradient_checkpointing
    size = StepSize(
        optimization.batch_size,
        run.datasets.train.image_size,
        run.options.processes.precision,
        averaged=optimization.ema_decay is not None,
    )
    if decided := choose_checkpointing(choice, model, size, device, free):
        report(decided)


def speed_up(
    model: ControlledDiffusionModel, options: ProcessOptions, processes: Processes, added_up: int
) -> None:
    """Make the steps of a model fast, as options and device allow.

    Args:
        model: with its frozen weights marked, and with gradient checkpointing as it stays.
        added_up: batches whose gradients one step adds up.
    """
    on_gpu = processes.on_gpu
    notify_of_slow_bf16("cuda" if on_gpu else "cpu", options.precision)
    # A graph writes gradients to one place, once for each step. With several processes they are
    # exchanged while others are computed.
    in_place = processes.total == 1 and added_up == 1 and not uses_checkpointing(model)
    graphs = options.cuda_graphs and in_place
    speed_up_training(model, on_gpu, options.precision, options.compile, graphs)
    align_weights(model)  # or a resumed run would differ in the last bits
