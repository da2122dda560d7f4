"""How many GPU hours does it take? From the seconds of a step and of an image, given or measured here.

    python utils/plan.py --seconds_per_step 0.9 --seconds_per_image 12
    python utils/plan.py --measure --config models/cldm_nano.yaml --images 10553 --sampler dpmpp --ddim_steps 20

The defaults are the paper's: 600 epochs over 233 images in batches of 2, 10,553 images.
"""

import argparse
from pathlib import Path

import torch

from cldm.model import create_model, native_size, read_config, size_multiple
from cldm.sampling import SamplingOptions
from core.devices import peak_memory, pick_device
from core.options import add_options, positive_float, positive_int, read_options
from core.text import duration, table
from generation.costs import MIXED, measure_image
from ldm.samplers import SAMPLERS
from share import run_script
from training.costs import measure_step

SAMPLING_FLAGS = {"sampler": "sampler", "steps": "ddim_steps", "scale": "scale"}


def plan(args, seconds_per_step: float | None, seconds_per_image: float | None) -> list[list[str]]:
    """Header and rows of what the work amounts to; what has no cost is left out."""
    rows = [
        ["work", "in all", "each", "hours of one", f"days on {args.gpus}" if args.gpus > 1 else ""]
    ]
    steps = args.epochs * -(-args.pairs // args.batch_size)
    training = f"train {args.epochs:,} epochs, {args.pairs:,} images, batch {args.batch_size}"
    for work, count, unit, seconds in (
        (training, steps, "steps", seconds_per_step),
        (f"generate {args.images:,} images", args.images, "images", seconds_per_image),
    ):
        if seconds is not None:
            hours = count * seconds / 3600
            rows.append(
                [
                    work,
                    f"{count:,} {unit}",
                    duration(seconds),
                    f"{hours:,.1f}",
                    f"{hours / 24 / args.gpus:,.2f}" if args.gpus > 1 else "",
                ]
            )
    return rows


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--epochs",
        type=positive_int,
        default=600,
        metavar="INT",
        help="passes over the training images",
    )
    work.add_argument(
        "--pairs", type=positive_int, default=233, metavar="INT", help="training images"
    )
    work.add_argument(
        "--batch_size",
        type=positive_int,
        default=2,
        metavar="INT",
        help="images per training step and GPU",
    )
    work.add_argument(
        "--images", type=positive_int, default=10553, metavar="INT", help="images to generate"
    )
    work.add_argument(
        "--gpus",
        type=positive_int,
        default=1,
        metavar="INT",
        help="GPUs that share the work; nothing is lost between them",
    )
    known = parser.add_argument_group("measured before")
    known.add_argument(
        "--seconds_per_step",
        type=positive_float,
        metavar="S",
        help="of one training step; the first steps of a run are slower",
    )
    known.add_argument(
        "--seconds_per_image",
        type=positive_float,
        metavar="S",
        help="of one generated image: 60 / images per minute of generate.py",
    )
    here = parser.add_argument_group(
        "measure on this machine", "with random weights, which take as long as trained ones"
    )
    here.add_argument(
        "--measure",
        nargs="*",
        choices=("step", "image"),
        metavar="WHAT",
        help="step, image, or both when neither is named",
    )
    here.add_argument(
        "--config",
        type=Path,
        default=Path("models/cldm_v15.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    here.add_argument(
        "--image_size",
        type=positive_int,
        metavar="PIXELS",
        help="height and width; the configuration's when not given",
    )
    here.add_argument(
        "--batch_size_per_inference",
        type=positive_int,
        default=1,
        metavar="INT",
        help="images generated together",
    )
    here.add_argument(
        "--branches",
        type=positive_int,
        default=1,
        metavar="INT",
        help="control branches that steer an image",
    )
    here.add_argument(
        "--precision",
        choices=("32", *MIXED),
        default="32",
        help="16 and bf16 compute in mixed precision",
    )
    here.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    here.add_argument(
        "--repeats",
        type=positive_int,
        default=3,
        metavar="INT",
        help="measurements; their median counts",
    )
    add_options(parser, SamplingOptions, "image", "what is measured", SAMPLING_FLAGS)
    args = parser.parse_args(argv)
    args.measure = args.measure if args.measure is None else args.measure or ["step", "image"]
    if args.measure is None and args.seconds_per_step is None and args.seconds_per_image is None:
        parser.error(
            "what does it cost? Give --seconds_per_step or --seconds_per_image, or --measure it here"
        )
    for what in args.measure or ():
        if getattr(args, f"seconds_per_{what}") is not None:
            parser.error(
                f"--seconds_per_{what} is given, so --measure must not measure it: name the other one alone"
            )
    try:
        read_options(SamplingOptions, args, SAMPLING_FLAGS)
    except ValueError as error:
        parser.error(str(error))
    return args


def main(argv=None):
    args = parse_args(argv)
    seconds_per_step, seconds_per_image = args.seconds_per_step, args.seconds_per_image
    if args.measure:
        device = pick_device(args.device)
        if device.type == "cpu" and args.precision == "16":
            raise ValueError("--precision 16 needs a GPU; use 32 or bf16 on a CPU")
        config = read_config(args.config)
        size = args.image_size or native_size(config)
        if size % size_multiple(config):
            raise ValueError(
                f"--image_size {size}: must be a multiple of {size_multiple(config)} for {args.config}"
            )
        name = (
            torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else f"the CPU, {torch.get_num_threads()} thread(s)"
        )
        print(
            f"{args.config}, {size} x {size} pixels, precision {args.precision}, on {name}",
            flush=True,
        )
        model = create_model(args.config)
        if "step" in args.measure:
            seconds_per_step = measure_step(
                model, size, args.batch_size, device, args.precision, args.repeats
            )
            print(
                f"training step of {args.batch_size}: {duration(seconds_per_step)}, peak memory {peak_memory(device):.1f} GiB",
                flush=True,
            )
        if "image" in args.measure:
            options = read_options(SamplingOptions, args, SAMPLING_FLAGS)
            cost = measure_image(
                model,
                size,
                args.batch_size_per_inference,
                device,
                options,
                args.branches,
                args.precision,
                args.repeats,
            )
            count = SAMPLERS[options.sampler].evaluations(options.steps)
            seconds_per_image = cost.total(count)
            print(
                f"image: {duration(cost.fixed)} and {count} times {duration(cost.evaluation)}, peak memory so far {peak_memory(device):.1f} GiB"
            )
    print(table(plan(args, seconds_per_step, seconds_per_image)))


if __name__ == "__main__":
    run_script(main)
