"""Convert a control branch between our layout and that of diffusers, without a loss.

    python utils/convert_control.py models/EM_best_results.ckpt models/em_control_diffusers
    python utils/convert_control.py models/em_control_diffusers models/em_control.safetensors

A folder is written for diffusers, a file for us, A1111 and ComfyUI. See
`cldm/control_weights/diffusers_layout.py`.
"""

from pathlib import Path

from cldm.options import add_config_option
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
    add_config_option(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.control_weights.conversion import convert_to_diffusers, convert_to_ours
    from cldm.control_weights.diffusers_layout import find_weights_file, write_diffusers
    from core.weights.checkpoints import save_weights

    # A file is ours, a folder is for diffusers.
    is_ours = args.output.suffix in WEIGHT_SUFFIXES
    if is_ours:
        check_conversion([find_weights_file(args.input)], args.output)
        converted = convert_to_ours(args.input, args.config)
    else:
        check_new_folder(args.output)
        converted = convert_to_diffusers(args.input, args.config)
    number = len(converted.tensors)
    if args.dry_run:
        plan = f"{number} tensors of {args.input}; converted: {args.output}"
        print(dry_run_text(vars(args), plan, hidden=["input", "output"]))
        return
    if is_ours:
        save_weights(converted.tensors, args.output)
    else:
        with whole_folder(args.output) as folder:
            write_diffusers(folder, converted.tensors, converted.config)
    print(f"{number} tensors, {converted.hint_channels} hint channels: {args.output}")


if __name__ == "__main__":
    run_script(main)
