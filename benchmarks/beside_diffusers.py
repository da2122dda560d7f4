"""Time this project beside diffusers: steps with guidance, decoding, steps of training.

    python benchmarks/beside_diffusers.py
    python benchmarks/beside_diffusers.py --precision bf16 --batch 16 --compile
    OMP_NUM_THREADS=1 python benchmarks/beside_diffusers.py --device cpu --rounds 3

Both build Stable Diffusion 1.5 with a ControlNet, random weights and no text encoder. Ours does
what `generate.py` and `train.py` do. Diffusers holds all weights in the precision for drawing, and
all but those of its control branch for training.

Each case of each side runs in a process of its own, by turns. The table shows medians over the
rounds: of seconds, those of the processor on a CPU, and of GiB at the peak, in all and above the
weights. A training step in float32 on a CPU takes 12 GiB, and 5 GB of the temporary folder.
"""

from itertools import product

from benchmarks.options import PairOptions
from core.command_line.options import add_options, new_parser, read_options
from core.hardware.device_options import pick_device
from share import run_script


def main(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, PairOptions, "benchmark")
    options = read_options(PairOptions, parser.parse_args(argv))
    # Here, because torch loads longer than reading the options takes.
    import torch

    from benchmarks.costs import median_cost
    from benchmarks.full_size import in_fresh_process
    from benchmarks.sides import SIDES, measure
    from core.hardware.devices import device_name

    print(f"{device_name(pick_device(options.device))}, torch {torch.__version__}, {options}\n")
    columns = ["what", "precision", "ours, s", "diffusers, s", "ratio"]
    columns += ["ours, GiB", "diffusers, GiB", "above weights"]
    print(f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}")
    for precision, case in product(options.precision, options.cases):
        costs = {side: [] for side in SIDES}
        for _ in range(options.rounds):
            for side, found in costs.items():
                found.append(in_fresh_process(measure, side, case, options, precision))
        ours, theirs = (median_cost(found) for found in costs.values())
        ratio = ours.seconds / theirs.seconds
        print(
            f"| {case} | {precision} | {ours.seconds:.3g} | {theirs.seconds:.3g} | {ratio:.2f} "
            f"| {ours.peak:.2f} | {theirs.peak:.2f} | {ours.above:.2f}, {theirs.above:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    run_script(main)
