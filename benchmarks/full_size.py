"""Random checkpoints of full size, and measurements in processes of their own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cldm.options import DEFAULT_CONFIG
from core.command_line.options import new_parser

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    import torch


def parse_args(doc: str, argv=None):
    """The options of these benchmarks: `folder`, which is made, and `config`."""
    parser = new_parser(doc)
    parser.add_argument("folder", type=Path, help="where the checkpoints are written and kept")
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="YAML",
        help="model configuration",
    )
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


def in_fresh_process(function: Callable, *arguments):
    """Result of `function`, which a new process imports: its memory starts empty."""
    # "spawn": a forked process would start with the memory of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def read_every_page(model: "torch.nn.Module") -> None:
    """Read all parameters: a mapped file counts as memory only where it was read."""
    # A sum reads all numbers and keeps none.
    for parameter in model.parameters():
        parameter.detach().sum()


def write_random_weights(config: Path, path: Path) -> None:
    """Write a complete checkpoint of a freshly built model."""
    from cldm.model import build_model  # here, as below: the options are read before
    from core.weights.checkpoints import save_weights

    save_weights(build_model(config).state_dict(), path)


def write_control(source: Path, path: Path) -> None:
    """Write the control branch of a complete checkpoint."""
    from cldm.names import CONTROL
    from core.weights.checkpoints import load_state_dict, save_weights, subset

    save_weights(subset(load_state_dict(source), [CONTROL]), path)
