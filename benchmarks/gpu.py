"""Measure a GPU: images and training steps per second, with random weights, in under five minutes.

    python benchmarks/gpu.py --output gpu.json

It needs no network and no file but the configuration, and of the packages only torch, numpy,
einops, safetensors, omegaconf and tqdm. Random numbers stand for the text encoder.
First it compares the GPU with the CPU; an error above 1e-3 in float32 ends it with exit code 1. A
case that does not fit into memory or into `--seconds` gets a row that says so.
"""

import sys

from benchmarks.options import GpuOptions
from core.command_line.options import add_options, new_parser, read_options
from core.hardware.device_options import pick_device
from share import run_script

TOLERANCE = 1e-3  # of the largest value, in float32


def main(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, GpuOptions, "benchmark")
    options = read_options(GpuOptions, parser.parse_args(argv))
    # Here, because torch loads longer than reading the options takes.
    import torch

    from benchmarks.gpu_cases import Bench, Report, measure_all
    from benchmarks.random_model import errors_against_cpu, nominal_flops
    from core.hardware.devices import device_name

    device = pick_device(options.device)
    report = Report({"device": device_name(device)}, options.output, options.seconds)
    bench = Bench(options, device)
    nominal = nominal_flops(device_name(device))
    errors = errors_against_cpu(bench.model, bench.side // 2, device)
    report.facts |= {
        "torch": torch.__version__,
        "configuration": str(options.config),
        "steps": f"{options.steps} of DPM-Solver++ with guidance",
        "compile_mode": options.compile_mode,
        "TFLOP_of_an_image": bench.flops_per_image / 1e12,
        "TFLOP_a_second_of_a_large_bf16_product": bench.peak / 1e12,
        "nominal_TFLOP_a_second_in_bf16": nominal and nominal / 1e12,
        **{f"error_of_{name}": error for name, error in errors.items()},
    }
    measure_all(bench, report)
    print(f"\n{report.markdown()}")
    # Not `>`: NaN is an error too.
    wrong = [name for name, error in errors.items() if not error <= TOLERANCE]
    if wrong:
        print(f"{', '.join(wrong)}: differs from the CPU by more than {TOLERANCE}", file=sys.stderr)
    if wrong or report.has_failed:
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
