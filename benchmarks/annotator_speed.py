"""Measure the CPU time that everything around a detector's network takes, beside the network.

    python benchmarks/annotator_speed.py

The networks have random weights, so their own outputs mean nothing. What follows them gets
synthetic maps instead, with many edges, 200 lines and several people. `around` is the whole
detector with a network that answers at once; reading the picture is part of it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from share import run_script


@dataclass(frozen=True)
class SpeedOptions:
    """The picture, and how often each network runs."""

    size: int = option(
        512, positive_int, "INT", "side of the square picture in pixels, a multiple of 64"
    )
    people: int = option(5, positive_int, "INT", "people in the picture")
    repeats: int = option(
        3, positive_int, "INT", "runs of each network, of which the median counts"
    )


def main(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, SpeedOptions, "measurement")
    options = read_options(SpeedOptions, parser.parse_args(argv))
    # Here, because torch and the detectors load longer than reading the options takes.
    import torch

    from benchmarks.detector_cases import build, make_cases, measure

    size = options.size
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    rows = []
    for case in tqdm(make_cases(size, options.people), desc="detectors"):
        with tempfile.TemporaryDirectory() as folder:
            detector = build(case, Path(folder))
            rows.append((case.name, *measure(detector, case, picture, options.repeats)))
    print(f"one picture of {size} x {size}, {torch.get_num_threads()} thread(s)")
    print("detector             network       around     share")
    for name, network, around in rows:
        print(f"{name:16} {network:9.3f} s {1000 * around:9.1f} ms {around / network:9.1%}")


if __name__ == "__main__":
    run_script(main)
