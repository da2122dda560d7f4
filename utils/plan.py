"""Tell how many GPU hours a training and a generation take, from the cost of a step and an image.

The costs are given, or measured on this machine:

    python utils/plan.py --seconds_per_step 0.9 --seconds_per_image 12
    python utils/plan.py --measure --config models/cldm_nano.yaml --sampler dpmpp --ddim_steps 20

The defaults are the paper's: 600 epochs over 233 images in batches of 2, 10,553 images.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from cldm.model import create_model, native_size, read_config, size_multiple
from cldm.sampling import SamplingOptions
from core.devices import device_name, peak_memory, pick_device
from core.options import (
    add_options,
    new_parser,
    option,
    positive_float,
    positive_int,
    read_options,
)
from core.text import duration, table
from generation.costs import measure_image
from generation.model import PRECISIONS
from ldm.samplers import SAMPLERS
from share import run_script
from training.costs import measure_step

SAMPLING_FLAGS = {"sampler": "sampler", "steps": "ddim_steps", "scale": "scale"}


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
        None, positive_float, "S", "of one training step; the first steps of a run are slower"
    )
    seconds_per_image: float | None = option(
        None, positive_float, "S", "of one generated image: 60 / images per minute of generate.py"
    )


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured, and on what."""

    measure: tuple[str, ...] | None = option(
        None,
        None,
        "WHAT",
        "step, image, or both when neither is named",
        nargs="*",
        choices=("step", "image"),
    )
    config: Path = option(Path("models/cldm_v15.yaml"), Path, "YAML", "model configuration")
    image_size: int | None = option(
        None, positive_int, "PIXELS", "height and width; the configuration's when not given"
    )
    batch_size_per_inference: int = option(1, positive_int, "INT", "images generated together")
    branches: int = option(1, positive_int, "INT", "control branches that steer an image")
    precision: str = option(
        "32", help="16 and bf16 compute in mixed precision", choices=tuple(PRECISIONS)
    )
    device: str = option("auto", help="auto takes a GPU where there is one")
    repeats: int = option(3, positive_int, "INT", "measurements; their median counts")

    @property
    def measured(self) -> tuple[str, ...]:
        """What is measured: `--measure` alone means both."""
        return () if self.measure is None else tuple(self.measure) or ("step", "image")


def plan(work: WorkOptions, costs: KnownCosts) -> list[list[str]]:
    """Header and rows of a table of the work; a part whose cost is None is left out."""
    days = f"days on {work.gpus}" if work.gpus > 1 else ""
    rows = [["work", "in all", "each", "hours of one", days]]
    steps = work.epochs * math.ceil(work.pairs / work.batch_size)
    training = f"train {work.epochs:,} epochs, {work.pairs:,} images, batch {work.batch_size}"
    for name, count, unit, seconds in (
        (training, steps, "steps", costs.seconds_per_step),
        (f"generate {work.images:,} images", work.images, "images", costs.seconds_per_image),
    ):
        if seconds is not None:
            hours = count * seconds / 3600
            shared = f"{hours / 24 / work.gpus:,.2f}" if work.gpus > 1 else ""
            rows.append([name, f"{count:,} {unit}", duration(seconds), f"{hours:,.1f}", shared])
    return rows


def measure_costs(
    work: WorkOptions, known: KnownCosts, here: MeasureOptions, sampling: SamplingOptions
) -> KnownCosts:
    """Measure what `here` names, print it, and return all costs.

    Random weights take as long as trained ones.

    Raises:
        ValueError: device, precision or size do not fit; found before the model is built.
    """
    device = pick_device(here.device)
    if device.type == "cpu" and here.precision == "16":
        raise ValueError("--precision 16 needs a GPU; use 32 or bf16 on a CPU")
    config = read_config(here.config)
    size, multiple = here.image_size or native_size(config), size_multiple(config)
    if size % multiple:
        raise ValueError(f"--image_size {size}: must be a multiple of {multiple} for {here.config}")
    print(
        f"{here.config}, {size} x {size} pixels, precision {here.precision}, "
        f"on {device_name(device)}",
        flush=True,
    )
    model = create_model(here.config)
    per_step, per_image = known.seconds_per_step, known.seconds_per_image
    if "step" in here.measured:
        per_step = measure_step(model, size, work.batch_size, device, here.precision, here.repeats)
        print(
            f"training step of {work.batch_size}: {duration(per_step)}, "
            f"peak memory {peak_memory(device):.1f} GiB",
            flush=True,
        )
    if "image" in here.measured:
        batch = here.batch_size_per_inference
        cost = measure_image(
            model, size, batch, device, sampling, here.branches, here.precision, here.repeats
        )
        count = SAMPLERS[sampling.sampler].evaluations(sampling.steps)
        per_image = cost.total(count)
        print(
            f"image: {duration(cost.fixed)} and {count} times {duration(cost.evaluation)}, "
            f"peak memory so far {peak_memory(device):.1f} GiB"
        )
    return KnownCosts(per_step, per_image)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, WorkOptions, "work")
    add_options(parser, KnownCosts, "measured before")
    add_options(parser, MeasureOptions, "measure on this machine", "with random weights")
    add_options(parser, SamplingOptions, "image", "what is measured", SAMPLING_FLAGS)
    args = parser.parse_args(argv)
    check_command_line(parser, args)
    return args


def check_command_line(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with an error unless each cost is given or measured, and none is both."""
    measured = read_options(MeasureOptions, args).measured
    if not measured and args.seconds_per_step is None and args.seconds_per_image is None:
        parser.error(
            "what does it cost? Give --seconds_per_step or --seconds_per_image, "
            "or --measure it here"
        )
    for what in measured:
        if getattr(args, f"seconds_per_{what}") is not None:
            parser.error(
                f"--seconds_per_{what} is given, so --measure must not measure it: "
                "name the other one alone"
            )
    try:
        read_options(SamplingOptions, args, SAMPLING_FLAGS)
    except ValueError as error:
        parser.error(str(error))


def main(argv=None):
    args = parse_args(argv)
    work, costs = read_options(WorkOptions, args), read_options(KnownCosts, args)
    here = read_options(MeasureOptions, args)
    if here.measured:
        costs = measure_costs(
            work, costs, here, read_options(SamplingOptions, args, SAMPLING_FLAGS)
        )
    print(table(plan(work, costs)))


if __name__ == "__main__":
    run_script(main)
