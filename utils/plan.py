"""Tell how many GPU hours a training and a generation take, from the cost of a step and an image.

The costs are given, or measured on this machine:

    python utils/plan.py --seconds_per_step 0.9 --seconds_per_image 12
    python utils/plan.py --measure --config models/cldm_nano.yaml --sampler dpmpp --ddim_steps 20

The defaults are the paper's: 600 epochs over 233 images in batches of 2, 10,553 images.
"""

import argparse
from collections.abc import Iterable

from cldm.options import SamplingOptions
from core.command_line.option_sources import parse_given, with_defaults
from core.command_line.options import add_options, new_parser, option_names, read_options
from core.text import table
from runs.workload import KnownCosts, MeasureOptions, WorkOptions, measure_costs, plan
from share import run_script

SAMPLING_FLAGS = {"sampler": "sampler", "steps": "ddim_steps", "scale": "scale"}


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    add_options(parser, WorkOptions, "work")
    add_options(parser, KnownCosts, "measured before")
    add_options(parser, MeasureOptions, "measure on this machine", "with random weights")
    add_options(parser, SamplingOptions, "image", "what is measured", SAMPLING_FLAGS)
    given = parse_given(parser, argv)
    args = with_defaults(parser, given)
    check_command_line(parser, args, given)
    return args


def check_command_line(
    parser: argparse.ArgumentParser, args: argparse.Namespace, given: Iterable[str]
) -> None:
    """End with an error unless each cost is given or measured, none is both, and all is read.

    Args:
        given: names of the options that the user gave.
    """
    measured = read_options(MeasureOptions, args).measured  # names of costs: step, image
    if not measured and args.seconds_per_step is None and args.seconds_per_image is None:
        parser.error(
            "no cost is known: give --seconds_per_step or --seconds_per_image, or measure them "
            "with --measure"
        )
    of_measuring = {*MeasureOptions.__dataclass_fields__, *SAMPLING_FLAGS.values()}
    for name in () if measured else given:
        if name in of_measuring:
            parser.error(f"--{name}: is only read with --measure")
    for what in measured:
        if getattr(args, f"seconds_per_{what}") is not None:
            parser.error(
                f"--seconds_per_{what} is given, so --measure must not measure it: "
                "name the other one alone"
            )
    read_options(SamplingOptions, args, SAMPLING_FLAGS)  # for its check alone


def main(argv=None):
    args = parse_args(argv)
    work, costs = read_options(WorkOptions, args), read_options(KnownCosts, args)
    here = read_options(MeasureOptions, args)
    if here.measured:
        sampling = read_options(SamplingOptions, args, SAMPLING_FLAGS)
        with option_names():
            costs = measure_costs(work, costs, here, sampling)
    print(table(plan(work, costs)))


if __name__ == "__main__":
    run_script(main)
