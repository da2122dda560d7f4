"""Move a trained control branch onto another base, such as another fine-tuned Stable Diffusion.

    python tool_transfer_control.py models/v1-5-pruned.ckpt models/EM_best_results.ckpt \\
        models/other_base.safetensors models/other_control.safetensors

The bases must be of one architecture.
"""

from pathlib import Path

from cldm.options import add_config_option
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import new_parser
from core.weights.weight_files import WEIGHT_SUFFIXES, check_conversion
from share import run_script


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    suffixes = ", ".join(WEIGHT_SUFFIXES)
    for name, words in {
        "path_sd15": "base that the control branch was trained on",
        "path_sd15_with_control": "weights with the trained control branch",
        "path_input": "base to move it to",
    }.items():
        parser.add_argument(name, type=Path, help=f"{words}, {suffixes}")
    parser.add_argument("path_output", type=Path, help=f"file to write, {suffixes}; must not exist")
    add_config_option(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import torch

    from cldm.base_encoder import refuse_other_base
    from cldm.control_weights.transfer_control import transfer_control
    from cldm.model import build_model
    from core.weights.checkpoints import check_finite, save_weights
    from core.weights.foreign_layouts import load_original

    paths = (args.path_sd15, args.path_sd15_with_control, args.path_input)
    check_conversion(paths, args.path_output)  # before the minutes that reading takes
    with torch.device("meta"):  # only names and shapes are asked for
        model = build_model(args.config)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    schedule = [name for name, _ in model.named_buffers()]
    sources = []
    for path in paths:
        sources.append(load_original(path))
        check_finite(sources[-1], path)
        print(f"{path}: {len(sources[-1])} tensors")
    refuse_other_base(args.path_sd15_with_control, args.path_sd15, sources[0])
    if args.dry_run:
        plan = f"weights with the moved control branch: {args.path_output}"
        hidden = [name for name in vars(args) if name.startswith("path_")]
        print(dry_run_text(vars(args), plan, hidden=hidden))
        return
    try:
        weights = transfer_control(shapes, schedule, *sources, titles=tuple(map(str, paths)))
    except RuntimeError as error:
        raise RuntimeError(f"{error}. Configuration: {args.config}.") from error
    save_weights(weights, args.path_output)
    print(f"{len(weights)} tensors: {args.path_output}")


if __name__ == "__main__":
    run_script(main)
