"""Turn Stable Diffusion weights into starting weights for a ControlNet.

    python tool_add_control.py models/v1-5-pruned.ckpt models/control_sd15_ini.ckpt

The control branch begins as a copy of the U-Net's encoder.
"""

from pathlib import Path

from cldm.options import add_config_option
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import OptionError, new_parser
from core.weights.weight_files import WEIGHT_SUFFIXES, check_conversion
from share import run_script


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    suffixes = ", ".join(WEIGHT_SUFFIXES)
    parser.add_argument("input", type=Path, help=f"Stable Diffusion weights, {suffixes}")
    parser.add_argument("output", type=Path, help=f"file to write, {suffixes}; must not exist")
    model = add_config_option(parser)
    model.add_argument(
        "--use_ema",
        action="store_true",
        help="take the averaged U-Net weights that some checkpoints carry",
    )
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import torch

    from cldm.control_weights.add_control import add_control
    from cldm.model import build_model
    from core.weights.checkpoints import check_finite, save_weights
    from core.weights.foreign_layouts import load_original

    check_conversion([args.input], args.output)  # before the minutes that reading takes
    source = load_original(args.input)
    if args.dry_run:
        plan = f"{len(source)} tensors of {args.input}; weights with control: {args.output}"
        print(dry_run_text(vars(args), plan, hidden=["input", "output"]))
        return
    print(f"{args.input}: {len(source)} tensors")
    torch.manual_seed(0)  # the hint encoder starts at random: the same input gives the same file
    model = build_model(args.config)
    try:
        weights, lacking = add_control(model, source, args.use_ema)
    except OptionError as error:
        raise OptionError(error.field, f"{args.input}: {error.message}") from error
    except RuntimeError as error:  # `add_control` knows tensors only
        raise RuntimeError(f"{args.input} does not fit {args.config}: {error}") from error
    check_finite(weights, args.input)
    for name in lacking:
        print(f"new, keeps its initial value: {name}")
    save_weights(weights, args.output)
    print(f"{len(weights)} tensors, {len(lacking)} of them new: {args.output}")


if __name__ == "__main__":
    run_script(main)
