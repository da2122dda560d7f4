"""Measure the cost of a training step and an image, with one thing changed at a time.

    python benchmarks/throughput.py --config models/cldm_nano.yaml

Random weights. Prints seconds, and their ratio to the first row of each block. The nano model takes
minutes on a CPU.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cldm.options import NANO_CONFIG, SamplingOptions
from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from core.hardware.device_options import DeviceOptions, pick_device
from core.text import duration, table
from ldm.samplers import SAMPLERS
from share import run_script


@dataclass(frozen=True)
class ThroughputOptions(DeviceOptions):
    """The model that is measured, and the device."""

    config: Path = option(NANO_CONFIG, Path, "YAML", "model configuration")
    repeats: int = option(5, positive_int, "INT", "measurements of each; their median counts")


@dataclass(frozen=True)
class Drawing:
    """One way to draw an image, to be measured."""

    side: int  # pixels
    batch: int = 1
    branches: int = 1
    sampling: SamplingOptions = SamplingOptions()


def drawings(side: int) -> dict[str, Drawing]:
    """Drawings by what is changed; the first one is the reference."""
    plain = Drawing(side)
    change = dataclasses.replace
    return {
        f"{side} pixels, batch 1, 1 branch, ddim 70, guidance 9": plain,
        "dpmpp 20": change(plain, sampling=SamplingOptions(sampler="dpmpp", steps=20)),
        "no guidance": change(plain, sampling=SamplingOptions(scale=1.0)),
        "batch 8": change(plain, batch=8),
        "2 branches": change(plain, branches=2),
        "3 branches": change(plain, branches=3),
        f"{2 * side} pixels": change(plain, side=2 * side),
    }


def block(title: str, seconds: dict[str, float]) -> list[list[str]]:
    """Rows of the table, the ratio being that to the first."""
    first = next(iter(seconds.values()))  # dictionaries keep their order
    return [[title, name, duration(s), f"{s / first:.2f}"] for name, s in seconds.items()]


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, ThroughputOptions, "study")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.configuration import native_size, read_config
    from cldm.model import build_model
    from generation.costs import measure_image
    from training.costs import measure_step

    study = read_options(ThroughputOptions, args)
    device, side = pick_device(study.device), native_size(read_config(study.config))

    def step(pixels, batch):
        """Seconds of a training step on square images."""
        model = build_model(study.config)  # each measurement leaves one that serves for no other
        return measure_step(model, pixels, batch, device, repeats=study.repeats)

    def image(d: Drawing):
        """Seconds of one image of a batch."""
        model = build_model(study.config)
        # From the cost of one evaluation: not all steps of a sampler have to be run.
        cost = measure_image(
            model, d.side, d.batch, device, d.sampling, d.branches, repeats=study.repeats
        )
        return cost.total(SAMPLERS[d.sampling.sampler].evaluations(d.sampling.steps))

    steps = {
        f"{side} pixels, batch 2": step(side, 2),
        "batch 4": step(side, 4),
        "batch 8": step(side, 8),
        f"{2 * side} pixels": step(2 * side, 2),
    }
    images = {name: image(drawing) for name, drawing in drawings(side).items()}
    header = ["what", "changed", "seconds", "ratio"]
    print(table([header, *block("training step", steps), *block("image", images)]))


if __name__ == "__main__":
    run_script(main)
