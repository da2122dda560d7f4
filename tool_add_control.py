"""Turn Stable Diffusion weights into starting weights for a ControlNet: the control branch begins as a copy of the U-Net's encoder.

python tool_add_control.py models/v1-5-pruned.ckpt models/control_sd15_ini.ckpt
"""

import argparse
from pathlib import Path

import torch

from cldm.model import create_model
from core.checkpoints import WEIGHT_SUFFIXES, load_state_dict, save_weights
from share import run_script

UNET, CONTROL, EMA = "model.diffusion_model.", "control_model.", "model_ema."


def averaged_name(name: str) -> str:
    """Where a Stable Diffusion checkpoint keeps the averaged copy of a U-Net weight: `model.` cut off, all dots removed."""
    return EMA + name.removeprefix("model.").replace(".", "")


def add_control(
    model: torch.nn.Module, source: dict[str, torch.Tensor], use_ema: bool = False
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Weights for `model` from those of a model without control.

    Args:
        model: a freshly built ControlLDM; it is emptied.
        source: tensors by their published names.
        use_ema: take the averaged copies of the U-Net's weights.
    Returns:
        All weights by name, and the names that `source` lacks, which keep their initial values.
    Raises:
        ValueError: `use_ema`, but `source` holds no averaged copies.
        RuntimeError: `source` was made for another architecture.
    """
    if use_ema and not any(name.startswith(EMA) for name in source):
        raise ValueError("--use_ema: the input holds no averaged weights (model_ema.*)")
    buffers = {name for name, _ in model.named_buffers()}
    origins, weights, lacking = {}, {}, []
    for name, own in model.state_dict().items():
        origin = name
        if name.startswith(CONTROL) and name.replace(CONTROL, UNET, 1) in source:
            origin = name.replace(CONTROL, UNET, 1)
        if use_ema and origin.startswith(UNET) and averaged_name(origin) in source:
            origin = averaged_name(origin)
        if origin in source:
            origins[name] = origin
            if source[origin].shape != own.shape:
                raise RuntimeError(
                    f"{origin} is {tuple(source[origin].shape)}, the configuration has {tuple(own.shape)}"
                )
        else:
            weights[name] = own.clone()
            if name not in buffers:
                lacking.append(name)
    if len(lacking) == len(origins) + len(weights) - len(buffers):
        raise RuntimeError(
            f"none of its {len(source)} tensors has a name of this architecture, such as {lacking[0]}"
        )
    dtypes = {name: own.dtype for name, own in model.state_dict().items()}
    model.to_empty(device="meta")  # gives its memory back before the copies need theirs
    for name, origin in origins.items():
        tensor = source[origin].to(dtypes[name])
        weights[name] = (
            tensor.clone() if name.startswith(CONTROL) else tensor
        )  # branch and U-Net must not share memory
    return weights, lacking


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "input", type=Path, help="Stable Diffusion weights, .ckpt, .pth or .safetensors"
    )
    parser.add_argument(
        "output", type=Path, help="file to write, .ckpt, .pth or .safetensors; must not exist"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("./models/cldm_v15.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    parser.add_argument(
        "--use_ema",
        action="store_true",
        help="take the averaged U-Net weights that some checkpoints carry",
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if not args.input.is_file():
        raise FileNotFoundError(f"{args.input}: no such checkpoint")
    if args.output.exists():
        raise FileExistsError(f"{args.output} exists. Name another file or remove it.")
    if args.output.suffix not in WEIGHT_SUFFIXES:
        raise ValueError(
            f"{args.output}: expected a name that ends in {', '.join(WEIGHT_SUFFIXES)}"
        )
    if not args.output.parent.is_dir():
        raise FileNotFoundError(f"{args.output.parent}: no such folder")
    source = load_state_dict(args.input)
    print(f"{args.input}: {len(source)} tensors")
    torch.manual_seed(0)  # the hint encoder starts at random: the same input gives the same file
    model = create_model(args.config)
    try:
        weights, lacking = add_control(model, source, args.use_ema)
    except RuntimeError as error:
        raise RuntimeError(f"{args.input} does not fit {args.config}: {error}") from error
    for name in lacking:
        print(f"new, keeps its initial value: {name}")
    save_weights(weights, args.output)
    print(f"{len(weights)} tensors, {len(lacking)} of them new: {args.output}")


if __name__ == "__main__":
    run_script(main)
