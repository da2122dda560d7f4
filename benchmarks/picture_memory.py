"""Memory that encoding and decoding take above the autoencoder's weights.

    PYTHONPATH=. python benchmarks/picture_memory.py --sizes 512 1024

Random weights of SD 1.5. Each row is measured in a process of its own. A picture of 2,048 pixels
takes minutes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.full_size import in_fresh_process
from cldm.options import DEFAULT_CONFIG
from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from core.hardware.device_options import check_precision, precision_option
from core.text import table
from share import run_script

TASKS = ("encode", "decode")


@dataclass(frozen=True)
class MemoryOptions:
    """The pictures that are encoded and decoded, on the CPU."""

    config: Path = option(DEFAULT_CONFIG, Path, "YAML", "model configuration")
    sizes: tuple[int, ...] = option(
        (512, 1024, 2048), positive_int, "INT", "heights and widths of pictures", nargs="+"
    )
    precision: str = precision_option()

    def check(self):
        """Raise OptionError for a precision that a CPU lacks."""
        check_precision(self.precision, "cpu")


def measure(config: Mapping, task: str, size: int, precision: str) -> tuple[float, float]:
    """GiB above the weights at the peak, and seconds of processor time.

    Args:
        config: of the autoencoder.
        task: one of `TASKS`.
        size: height and width of the picture.
    """
    import torch  # here, as below: the options are read before

    from core.hardware.devices import mixed_precision, peak_memory
    from ldm.util import instantiate_from_config

    cpu = torch.device("cpu")
    autoencoder = instantiate_from_config(config).eval()
    before = peak_memory(cpu)
    picture = torch.rand(1, 3, size, size) * 2 - 1
    start = time.process_time()
    with torch.no_grad(), mixed_precision("cpu", precision):
        if task == "encode":
            autoencoder.encode(picture).mode()
        else:
            side = size // autoencoder.downsampling
            autoencoder.decode(torch.randn(1, autoencoder.post_quant_conv.in_channels, side, side))
    return peak_memory(cpu) - before, time.process_time() - start


def main(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, MemoryOptions, "pictures")
    options = read_options(MemoryOptions, parser.parse_args(argv))
    options.check()
    from cldm.configuration import read_config  # here, because it loads torch

    config = read_config(options.config)["params"]["first_stage_config"]
    rows = [["pixels", "task", "GiB", "seconds"]]
    for size in options.sizes:
        for task in TASKS:
            gib, seconds = in_fresh_process(measure, config, task, size, options.precision)
            rows.append([str(size), task, f"{gib:.2f}", f"{seconds:.1f}"])
    print(table(rows))


if __name__ == "__main__":
    run_script(main)
