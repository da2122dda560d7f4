"""Time and memory of loading at full size, by `build_model` and by the usual way.

    python benchmarks/load_time.py /tmp/fullsize

The usual way initialises the model, then copies the weights in. A random checkpoint of SD 1.5 with
control (5.7 GB) is written into the folder first. Each way runs in a process of its own.
"""

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.full_size import (
    in_fresh_process,
    parse_args,
    read_every_page,
    write_random_weights,
)
from core.deferred import Deferred
from share import run_script

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import torch


def usual_way(config: Path, path: Path) -> "torch.nn.Module":
    """Model that is initialised and then loaded."""
    from cldm.model import build_model  # here, as below: the options are read before
    from core.weights.checkpoints import load_state_dict

    model = build_model(config)
    model.load_state_dict(load_state_dict(path))
    return model


WAYS = {
    "build with initialisation, then load": usual_way,
    "build_model(config, weights)": Deferred("cldm.model:build_model"),
}


def measure(build, config: Path, path: Path) -> tuple[float, float]:
    """Seconds and peak memory in GiB until every weight was read."""
    import torch

    from core.hardware.devices import peak_memory

    import_module("cldm.model")  # before the clock starts
    start = time.perf_counter()
    read_every_page(build(config, path))
    return time.perf_counter() - start, peak_memory(torch.device("cpu"))


def main(argv=None):
    args = parse_args(__doc__, argv)
    path = args.folder / "random_sd15_control.ckpt"
    if not path.exists():
        in_fresh_process(write_random_weights, args.config, path)
    size = path.stat().st_size / 2**30
    print(f"{path}: {size:.2f} GiB; seconds and peak memory, the file in the page cache")
    durations = []
    for name, build in WAYS.items():
        in_fresh_process(measure, build, args.config, path)  # fills the page cache
        seconds, memory = in_fresh_process(measure, build, args.config, path)
        durations.append(seconds)
        print(f"{name:40} {seconds:6.1f} s  {memory:5.2f} GiB ({memory / size:.2f} x the file)")
    print(f"ratio {durations[1] / durations[0]:.2f}")


if __name__ == "__main__":
    run_script(main)
