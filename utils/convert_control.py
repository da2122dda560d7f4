"""Convert a control branch between our layout and that of diffusers, without a loss.

    python utils/convert_control.py models/EM_best_results.ckpt models/em_control_diffusers
    python utils/convert_control.py models/em_control_diffusers models/em_control.safetensors

A folder is written for diffusers, a file for us, A1111 and ComfyUI. See `cldm/diffusers_layout.py`.
"""

import argparse
from pathlib import Path

from cldm.options import DEFAULT_CONFIG
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import new_parser
from core.files import check_new_folder, whole_folder
from core.weights.weight_files import WEIGHT_SUFFIXES, check_conversion
from share import run_script


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    suffixes = ", ".join(WEIGHT_SUFFIXES)
    parser.add_argument(
        "input", type=Path, help=f"weights with a control branch, {suffixes}, or diffusers' folder"
    )
    parser.add_argument(
        "output", type=Path, help=f"file to write, {suffixes}; or a new folder for diffusers"
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="YAML", help="model configuration"
    )
    add_run_control(parser)
    return parse_all(parser, argv)


def write_for_diffusers(args: argparse.Namespace) -> None:
    """Check, convert, write diffusers' folder."""
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.configuration import read_config
    from cldm.diffusers_layout import diffusers_config, to_diffusers, write_diffusers
    from cldm.model import load_control

    check_new_folder(args.output)
    params = read_config(args.config)["params"]
    if params.get("only_mid_control"):
        raise ValueError(
            f"{args.config}: only_mid_control is true, which diffusers does not have. "
            "Only branches that use all their residuals can be converted."
        )
    control, tensors = read_branch(args, load_control(args.input))
    converted = to_diffusers(control, tensors, args.input)
    config = diffusers_config(control, params.get("global_average_pooling", False))
    if args.dry_run:
        return show_plan(args, converted)
    with whole_folder(args.output) as folder:
        write_diffusers(folder, converted, config)
    print(result_line(args, converted, control))


def write_for_us(args: argparse.Namespace) -> None:
    """Check, convert, write a file with `control_model.*`."""
    from cldm.configuration import read_config  # here, as above
    from cldm.diffusers_layout import (
        CONFIG,
        check_config,
        diffusers_config,
        find_weights_file,
        from_diffusers,
        read_diffusers,
    )
    from cldm.names import CONTROL
    from core.weights.checkpoints import save_weights

    check_conversion([find_weights_file(args.input)], args.output)
    params = read_config(args.config)["params"]
    tensors, config = read_diffusers(args.input)
    control, tensors = read_branch(args, tensors)
    if config:
        expected = diffusers_config(control, params.get("global_average_pooling", False))
        check_config(config, expected, args.input / CONFIG)
    converted = from_diffusers(control, tensors, args.input)
    converted = {f"{CONTROL}{name}": tensor for name, tensor in converted.items()}
    if args.dry_run:
        return show_plan(args, converted)
    save_weights(converted, args.output)
    print(result_line(args, converted, control))


def read_branch(args, tensors):
    """A branch without weights that `tensors` fit, and `tensors`, checked to be finite."""
    import torch  # here, as above

    from cldm.diffusers_layout import count_hint_channels
    from cldm.model import build_control
    from core.weights.checkpoints import check_finite

    check_finite(tensors, args.input)
    with torch.device("meta"):  # only names and shapes are asked for
        return build_control(args.config, count_hint_channels(tensors, args.input)), tensors


def result_line(args, converted, control) -> str:
    """Counts and path of what was written."""
    return f"{len(converted)} tensors, {control.hint_channels} hint channels: {args.output}"


def show_plan(args, converted) -> None:
    """Print what would be written."""
    plan = f"{len(converted)} tensors of {args.input}; converted: {args.output}"
    print(dry_run_text(vars(args), plan, hidden=["input", "output"]))


def main(argv=None):
    args = parse_args(argv)
    # A file is ours, a folder is for diffusers.
    if args.output.suffix in WEIGHT_SUFFIXES:
        write_for_us(args)
    else:
        write_for_diffusers(args)


if __name__ == "__main__":
    run_script(main)
