"""Peak memory of several control branches at SD 1.5 size: one model with further control networks, against one full model for each branch.

    python benchmarks/branch_memory.py /tmp/fullsize

writes a random checkpoint with control (5.7 GB) and its control branch alone (1.4 GB) into the folder, then loads each case in a fresh
process. All branches map the same files; a process's memory counts every mapping, so the figures are those of as many files.
"""

import argparse
from pathlib import Path

from load_time import CONFIG, WRITE, run

WRITE_CONTROL = """
    import sys
    from cldm.model import load_state_dict, save_weights, subset
    save_weights(subset(load_state_dict(sys.argv[1]), ["control_model."]), sys.argv[2])
"""
MEASURE = """
    import resource, sys, time
    from pathlib import Path
    from cldm.model import create_model
    from conditions import create_condition
    from generation.branches import Branch
    from generation.model import ModelOptions, load_model
    config, full, control, branches = *sys.argv[1:4], int(sys.argv[4])
    start = time.perf_counter()
    LOAD
    for model in models:
        for p in model.parameters():
            p.detach().sum()  # touches every page
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
WAYS = {
    "one model, further control networks": """
    options = ModelOptions(config_yaml_path=Path(config), device="cpu")
    edge = create_condition("edge")
    weights = [Path(control if i else full) for i in range(branches)]
    models = [load_model(options, [Branch(str(i), edge, w, Path()) for i, w in enumerate(weights)])]
    """,
    "one full model for each branch": """
    models = [create_model(config, full) for _ in range(branches)]
    """,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="where the checkpoints are written and kept")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    full, control = (
        folder / "random_sd15_control.ckpt",
        folder / "random_sd15_control_only.safetensors",
    )
    if not full.exists():
        run(WRITE, CONFIG, full)
    if not control.exists():
        run(WRITE_CONTROL, full, control)
    print(f"{'branches':8}  " + "  ".join(f"{name:36}" for name in WAYS) + "  ratio")
    for branches in (1, 2, 3):
        codes = [MEASURE.replace("\n    LOAD", load.rstrip()) for load in WAYS.values()]
        figures = [
            [float(word) for word in run(code, CONFIG, full, control, branches).split()]
            for code in codes
        ]
        cells = [f"{memory:5.2f} GiB, {seconds:5.1f} s" for seconds, memory in figures]
        print(
            f"{branches:8}  "
            + "  ".join(f"{cell:36}" for cell in cells)
            + f"  {figures[0][1] / figures[1][1]:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
