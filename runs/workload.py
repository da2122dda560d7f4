"""GPU hours of a training and a generation, from the cost of one step and one image.

The costs are given, or measured on this machine with random weights, which take as long as trained
ones.
"""

import gc
import math
from dataclasses import dataclass
from pathlib import Path

from cldm.options import DEFAULT_CONFIG, SamplingOptions
from core.command_line.options import option, positive_float, positive_int
from core.hardware.device_options import (
    check_precision,
    device_option,
    pick_device,
    precision_option,
)
from core.notices import report
from core.text import duration


@dataclass(frozen=True)
class WorkOptions:
    """The work that is planned."""

    epochs: int = option(600, positive_int, "INT", "passes over the training images")
    pairs: int = option(233, positive_int, "INT", "training images")
    batch_size: int = option(2, positive_int, "INT", "images per training step and GPU")
    images: int = option(10553, positive_int, "INT", "images to generate")
    gpus: int = option(
        1, positive_int, "INT", "GPUs that share the work; nothing is lost between them"
    )


@dataclass(frozen=True)
class KnownCosts:
    """Costs that were measured before."""

    seconds_per_step: float | None = option(
        None,
        positive_float,
        "S",
        "seconds of a training step; the first steps of a run are slower",
    )
    seconds_per_image: float | None = option(
        None,
        positive_float,
        "S",
        "seconds of an image: 60 / images per minute of a generation",
    )


@dataclass(frozen=True)
class MeasureOptions:
    """Costs to measure, and the model and device to measure with."""

    measure: tuple[str, ...] | None = option(
        None,
        None,
        "WHAT",
        "step, image, or both when neither is named",
        nargs="*",
        choices=("step", "image"),
    )
    config: Path = option(DEFAULT_CONFIG, Path, "YAML", "model configuration")
    image_size: int | None = option(
        None, positive_int, "PIXELS", "height and width; the configuration's when not given"
    )
    batch_size_per_inference: int = option(1, positive_int, "INT", "images generated together")
    branches: int = option(1, positive_int, "INT", "control branches that steer an image")
    precision: str = precision_option()
    device: str = device_option()
    repeats: int = option(3, positive_int, "INT", "measurements; their median counts")

    @property
    def measured(self) -> tuple[str, ...]:
        """Costs to measure: `--measure` alone means both."""
        return () if self.measure is None else tuple(self.measure) or ("step", "image")

    def check(self):
        """Raise OptionError or ValueError where this machine lacks device or precision."""
        if self.measured:
            check_precision(self.precision, pick_device(self.device).type)


def plan(work: WorkOptions, costs: KnownCosts) -> list[list[str]]:
    """Header and rows of a table of the work; a part whose cost is None is left out."""
    days = f"days on {work.gpus}" if work.gpus > 1 else ""
    rows = [["work", "in all", "each", "hours of one", days]]
    steps = work.epochs * math.ceil(work.pairs / work.batch_size)  # a last, smaller batch counts
    training = f"train {work.epochs:,} epochs, {work.pairs:,} images, batch {work.batch_size}"
    for name, count, unit, seconds in (
        (training, steps, "steps", costs.seconds_per_step),
        (f"generate {work.images:,} images", work.images, "images", costs.seconds_per_image),
    ):
        if seconds is not None:
            hours = count * seconds / 3600  # of one GPU
            shared = f"{hours / 24 / work.gpus:,.2f}" if work.gpus > 1 else ""
            rows.append([name, f"{count:,} {unit}", duration(seconds), f"{hours:,.1f}", shared])
    return rows


def measure_costs(
    work: WorkOptions, known: KnownCosts, here: MeasureOptions, sampling: SamplingOptions
) -> KnownCosts:
    """Measure what `here` names, report it, and return all costs.

    Raises:
        OptionError: the size does not fit; found before the model is built.
    """
    # Here, because what works loads torch, which takes longer than reading the options.
    import torch

    from cldm.configuration import image_side, read_config
    from cldm.layer_precision import round_layers
    from cldm.model import build_model
    from core.hardware.devices import PRECISIONS, device_name, peak_memory
    from generation.costs import measure_image
    from ldm.samplers import SAMPLERS
    from training.costs import measure_step

    device = pick_device(here.device)
    size = image_side(read_config(here.config), here.image_size, here.config)
    report(
        f"{here.config}, {size} x {size} pixels, precision {here.precision}, "
        f"on {device_name(device)}"
    )
    # Random weights, anew for each of the two, which leave no model that serves for the other. The
    # step comes first: its memory is the larger, and a peak never falls again.
    per_step, per_image = known.seconds_per_step, known.seconds_per_image
    if "step" in here.measured:
        per_step = measure_step(
            build_model(here.config), size, work.batch_size, device, here.precision, here.repeats
        )
        report(
            f"training step of {work.batch_size}: {duration(per_step)}, "
            f"peak memory {peak_memory(device):.1f} GiB"
        )
    if "image" in here.measured:
        gc.collect()  # the trainer and its model refer to each other
        if device.type == "cuda":
            torch.cuda.empty_cache()
        batch = here.batch_size_per_inference
        model = build_model(here.config)
        round_layers(model, PRECISIONS[here.precision])  # as `generation.drawing.model` loads them
        # The fixed part is told apart, so another number of steps needs no new measurement.
        cost = measure_image(
            model, size, batch, device, sampling, here.branches, here.precision, here.repeats
        )
        count = SAMPLERS[sampling.sampler].evaluations(sampling.steps)
        per_image = cost.total(count)
        report(
            f"image: {duration(cost.fixed)} and {count} times {duration(cost.evaluation)}, "
            f"peak memory so far {peak_memory(device):.1f} GiB"
        )
    return KnownCosts(per_step, per_image)
