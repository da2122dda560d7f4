"""Peak memory of several control branches at full size.

    python benchmarks/branch_memory.py /tmp/fullsize

One model with further control networks is set against one full model for each branch. A random
checkpoint of SD 1.5 with control (5.7 GB) and its control branch alone (1.4 GB) are written into
the folder first. Each case runs in a process of its own. All branches map the same files. A
process's memory counts every mapping, so the figures are those of as many files.
"""

import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.full_size import (
    in_fresh_process,
    parse_args,
    read_every_page,
    write_control,
    write_random_weights,
)
from conditions import create_condition
from generation.options import ModelOptions
from generation.planning.branches import Branch
from share import run_script


def control_networks(config: Path, weights: list[Path]) -> list:
    """One model whose control branch is several control networks, one for each file."""
    from generation.drawing.model import load_model  # here, as below: the options are read before

    edge = create_condition("edge")  # any condition: the sizes of the networks are alike
    parts = [Branch(str(i), edge, path, Path()) for i, path in enumerate(weights)]
    return [load_model(ModelOptions(config_yaml_path=config, device="cpu"), parts)]


def full_models(config: Path, weights: list[Path]) -> list:
    """A whole model for each file."""
    from cldm.model import build_model

    return [build_model(config, path) for path in weights]


def measure(load: Callable, config: Path, weights: list[Path]) -> tuple[float, float]:
    """Seconds and peak memory in GiB until every weight was read.

    Args:
        load: one of the two functions above.
        weights: a file for each branch.
    """
    import torch

    from core.hardware.devices import peak_memory

    import_module("generation.drawing.model")  # before the clock starts
    start = time.perf_counter()
    for model in load(config, weights):
        read_every_page(model)
    return time.perf_counter() - start, peak_memory(torch.device("cpu"))


def main(argv=None):
    args = parse_args(__doc__, argv)
    full = args.folder / "random_sd15_control.ckpt"
    control = args.folder / "random_sd15_control_only.safetensors"
    # Written once and kept. In processes of their own, or the models would stay in this one.
    if not full.exists():
        in_fresh_process(write_random_weights, args.config, full)
    if not control.exists():
        in_fresh_process(write_control, full, control)
    titles = "one model, further control networks", "one full model for each branch"
    print(f"{'branches':8}  " + "  ".join(f"{title:36}" for title in titles) + "  ratio")
    for branches in (1, 2, 3):
        # Peak memory never falls in a process, so each figure needs a process of its own.
        figures = [
            in_fresh_process(
                measure, control_networks, args.config, [full, *[control] * (branches - 1)]
            ),
            in_fresh_process(measure, full_models, args.config, [full] * branches),
        ]
        cells = [f"{memory:5.2f} GiB, {seconds:5.1f} s" for seconds, memory in figures]
        ratio = figures[0][1] / figures[1][1]
        print(
            f"{branches:8}  " + "  ".join(f"{cell:36}" for cell in cells) + f"  {ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    run_script(main)
