"""How does cost grow? Training step and image, one thing changed at a time, side by side on this machine.

    python benchmarks/throughput.py --config models/cldm_nano.yaml

Random weights; prints seconds and the ratio to the first row of each block. Needs minutes on a CPU with the nano model.
"""

import argparse
from pathlib import Path

from cldm.model import create_model, native_size, read_config
from cldm.sampling import SamplingOptions
from core.devices import pick_device
from core.options import positive_int
from core.text import duration, table
from generation.costs import measure_image
from ldm.samplers import SAMPLERS
from share import run_script
from training.costs import measure_step


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("models/cldm_nano.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    parser.add_argument("--device", default="auto", help="auto takes a GPU where there is one")
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=5,
        metavar="INT",
        help="measurements of each; their median counts",
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    device, size = pick_device(args.device), native_size(read_config(args.config))
    model = create_model(args.config)
    rows = [["what", "changed", "seconds", "ratio"]]

    def add(what, changes, measure):
        first = None
        for name, values in changes:
            seconds = measure(*values)
            first = first or seconds
            rows.append([what, name, duration(seconds), f"{seconds / first:.2f}"])

    def step(side, batch):
        return measure_step(model, side, batch, device, repeats=args.repeats)

    def image(side=size, batch=1, branches=1, scale=9.0, sampler="ddim", steps=70):
        cost = measure_image(
            model,
            side,
            batch,
            device,
            SamplingOptions(scale=scale, sampler=sampler),
            branches,
            repeats=args.repeats,
        )
        return cost.total(SAMPLERS[sampler].evaluations(steps))

    add(
        "training step",
        [
            (f"{size} pixels, batch 2", (size, 2)),
            ("batch 4", (size, 4)),
            ("batch 8", (size, 8)),
            (f"{2 * size} pixels", (2 * size, 2)),
        ],
        step,
    )
    add(
        "image",
        [
            (f"{size} pixels, batch 1, 1 branch, ddim 70, guidance 9", ()),
            ("dpmpp 20", (size, 1, 1, 9.0, "dpmpp", 20)),
            ("no guidance", (size, 1, 1, 1.0)),
            ("batch 8", (size, 8)),
            ("2 branches", (size, 1, 2)),
            ("3 branches", (size, 1, 3)),
            (f"{2 * size} pixels", (2 * size,)),
        ],
        image,
    )
    print(table(rows))


if __name__ == "__main__":
    run_script(main)
