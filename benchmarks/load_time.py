"""Full-size loading: build with initialisation and copy the weights in, against building without and mapping them.

    python benchmarks/load_time.py /tmp/fullsize

writes a random checkpoint of SD 1.5 size with control (5.7 GB) into the folder, then times both ways in fresh processes.
"""

import argparse
import subprocess
import sys
import textwrap
from pathlib import Path

CONFIG = "models/cldm_v15.yaml"
MEASURE = """
    import resource, sys, time
    import torch
    from cldm.model import create_model, load_state_dict
    config, path = sys.argv[1:]
    start = time.perf_counter()
    BUILD
    checksum = sum(float(p.detach().sum()) for p in model.parameters())  # touches every page
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f}")
"""
WAYS = {
    "build with initialisation, then load": "model = create_model(config); model.load_state_dict(load_state_dict(path))",
    "create_model(config, weights)": "model = create_model(config, path)",
}
WRITE = """
    import sys
    import torch
    from cldm.model import create_model, save_weights
    model = create_model(sys.argv[1])
    save_weights(model.state_dict(), sys.argv[2])
"""


def run(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
    ).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="where the checkpoint is written and kept")
    path = parser.parse_args().folder / "random_sd15_control.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        run(WRITE, CONFIG, path)
    size = path.stat().st_size / 2**30
    print(f"{path}: {size:.2f} GiB; seconds and peak memory, the file in the page cache")
    figures = {}
    for name, how in WAYS.items():
        run(MEASURE.replace("BUILD", how), CONFIG, path)  # warms the page cache
        seconds, memory = map(float, run(MEASURE.replace("BUILD", how), CONFIG, path).split())
        figures[name] = seconds
        print(f"{name:40} {seconds:6.1f} s  {memory:5.2f} GiB ({memory / size:.2f} x the file)")
    slow, fast = figures.values()
    print(f"ratio {fast / slow:.2f}")


if __name__ == "__main__":
    main()
