"""A control branch in the layout of diffusers' `ControlNetModel`, there and back.

The two networks compute the same, so tensors only change their names. Names and configuration are
read off the modules of a `ControlNet`, whatever its size.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import nn

from cldm.controlnet import HINT_ENCODER_WIDTHS, ControlNet
from core.files import write_json
from core.recording.records import Record, read_checked
from core.weights.checkpoints import load_state_dict, save_weights
from ldm.modules.attention import SpatialTransformer
from ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock
from ldm.modules.diffusionmodules.util import GROUPS

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"  # and a suffix
# Files that hold the weights in folders of the hub, the best first.
WEIGHTS_FILES = tuple(
    f"{WEIGHTS}{variant}{suffix}"
    for variant in ("", ".fp16")
    for suffix in (".safetensors", ".bin")
)
RES_BLOCK = {  # layer of our `ResBlock` -> its name in diffusers
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
# The first hint convolution, in our names and in diffusers'.
OUR_HINT, THEIR_HINT = "input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"
CHANNEL_ORDER = "controlnet_conditioning_channel_order"
# Values of a configuration that diffusers' loader reads but the network does not compute with.
NOT_COMPARED = {"conditioning_channels", CHANNEL_ORDER}


class DiffusersConfig(Record):
    """The `config.json` of a `ControlNetModel`; its other values are checked by `check_config`."""

    controlnet_conditioning_channel_order: str = "rgb"


def _block_layers(ours: str, block: nn.Module, level: str, stage: int) -> Iterator[tuple[str, str]]:
    """(our name, diffusers' name) of each layer in a block of the encoder."""
    for i, layer in enumerate(block):
        name = f"{ours}.{i}"
        if isinstance(layer, ResBlock):
            # The middle block has two of them, with a transformer in between.
            number = stage + i // 2
            yield from (
                (f"{name}.{part}", f"{level}.resnets.{number}.{other}")
                for part, other in RES_BLOCK.items()
            )
        elif isinstance(layer, SpatialTransformer):
            yield name, f"{level}.attentions.{stage}"  # layers inside have equal names
        elif isinstance(layer, Downsample):
            yield f"{name}.op", f"{level}.downsamplers.0.conv"


def _layers(control: ControlNet) -> Iterator[tuple[str, str]]:
    """(our name, diffusers' name) of all layers of a branch."""
    yield from (
        ("time_embed.0", "time_embedding.linear_1"),
        ("time_embed.2", "time_embedding.linear_2"),
    )
    yield "input_blocks.0.0", "conv_in"
    level = stage = 0
    for i, block in enumerate(control.input_blocks):
        if i:
            yield from _block_layers(f"input_blocks.{i}", block, f"down_blocks.{level}", stage)
            stage += 1
        if isinstance(block[0], Downsample):  # ends a level
            level, stage = level + 1, 0
    yield from _block_layers("middle_block", control.middle_block, "mid_block", 0)
    hint = "controlnet_cond_embedding"
    last = len(HINT_ENCODER_WIDTHS)
    for i in range(last + 1):  # every other layer of the sequence is an activation
        name = {0: "conv_in", last: "conv_out"}.get(i, f"blocks.{i - 1}")
        yield f"input_hint_block.{2 * i}", f"{hint}.{name}"
    for i in range(len(control.zero_convs)):
        yield f"zero_convs.{i}.0", f"controlnet_down_blocks.{i}"
    yield "middle_block_out.0", "controlnet_mid_block"


def diffusers_names(control: ControlNet) -> dict[str, str]:
    """Name of each of a branch's tensors in diffusers, by our name without `control_model.`."""
    return {
        f"{ours}.{tensor}": f"{theirs}.{tensor}"
        for ours, theirs in _layers(control)
        for tensor in control.get_submodule(ours).state_dict()
    }


def diffusers_config(control: ControlNet, global_average_pooling: bool = False) -> dict:
    """The `config.json` with which diffusers builds the same network.

    Args:
        global_average_pooling: of the `ControlledDiffusionModel`.
    """
    widths = [mult * control.model_channels for mult in control.channel_mult]
    attended = [2**level in control.attention_resolutions for level in range(len(widths))]
    options = control.transformer_options
    heads = [
        control.num_heads if control.num_heads != -1 else width // control.num_head_channels
        for width in widths
    ]
    return {
        "_class_name": "ControlNetModel",
        "act_fn": "silu",
        "attention_head_dim": heads,  # diffusers calls the number of heads so
        "block_out_channels": widths,
        "conditioning_channels": control.hint_channels,
        # Each width once; the last is the network's first.
        "conditioning_embedding_out_channels": list(HINT_ENCODER_WIDTHS[::2]),
        CHANNEL_ORDER: "rgb",
        "cross_attention_dim": options["context_dim"],
        "down_block_types": [
            "CrossAttnDownBlock2D" if level else "DownBlock2D" for level in attended
        ],
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "global_pool_conditions": global_average_pooling,
        "in_channels": control.input_blocks[0][0].in_channels,
        "layers_per_block": control.num_res_blocks,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-5,
        "norm_num_groups": GROUPS,
        "only_cross_attention": False,
        "resnet_time_scale_shift": "default",
        "transformer_layers_per_block": options["depth"],
        "use_linear_projection": options["use_linear"],
    }


def check_config(found: Mapping, expected: Mapping, source: Path) -> None:
    """Check that a `config.json` describes the network that is expected.

    Args:
        expected: from `diffusers_config`. What `found` leaves out has diffusers' default; tensors
            of layers that we lack show in their names.
    Raises:
        ValueError: a value differs; the message names it.
    """
    levels = len(expected["block_out_channels"])

    def per_level(value):
        return value if isinstance(value, list) else [value] * levels

    found = dict(found)
    if found.get("num_attention_heads"):  # newer files say it by its right name
        found["attention_head_dim"] = found["num_attention_heads"]
    for name, value in expected.items():
        theirs = found.get(name, value)
        if name not in NOT_COMPARED and per_level(theirs) != per_level(value):
            raise ValueError(
                f"{source}: {name} is {theirs}, the model configuration has {value}. "
                "Name the configuration of its base."
            )


def find_weights_file(path: Path) -> Path:
    """The file with the weights of a `ControlNetModel`: `path` itself, or one in this folder.

    Raises:
        FileNotFoundError: none is there.
    """
    if not path.is_dir():
        return path
    files = [path / name for name in WEIGHTS_FILES]
    if found := next(filter(Path.is_file, files), None):
        return found
    raise FileNotFoundError(f"{path}: holds no {' or '.join(WEIGHTS_FILES)}")


def read_diffusers(path: Path) -> tuple[dict[str, torch.Tensor], dict | None]:
    """Tensors by diffusers' names, and the configuration beside them.

    Hints in blue, green and red become red, green and blue.

    Args:
        path: a folder with `config.json` and weights, or a file of weights, whose configuration is
            None.
    Raises:
        FileNotFoundError: the folder lacks one of them.
        ValueError: the tensors have other names, or as `load_state_dict` and `read_checked`.
    """
    tensors = load_state_dict(find_weights_file(path))
    if THEIR_HINT not in tensors:
        raise ValueError(f"{path}: is no ControlNet of diffusers, {THEIR_HINT} is missing")
    if not path.is_dir():
        return tensors, None
    config = read_checked(path / CONFIG, DiffusersConfig)
    if config.controlnet_conditioning_channel_order == "bgr":
        tensors[THEIR_HINT] = tensors[THEIR_HINT].flip(1)  # (16, hint channels, 3, 3)
    return tensors, config.model_dump()


def write_diffusers(folder: Path, tensors: Mapping[str, torch.Tensor], config: Mapping) -> None:
    """Write weights and `config.json` into a folder that is there; raises OSError."""
    write_json(folder / CONFIG, config)
    save_weights(dict(tensors), folder / f"{WEIGHTS}.safetensors")


def count_hint_channels(tensors: Mapping[str, torch.Tensor], source: Path) -> int:
    """Hint channels of a branch, in our names or in diffusers'.

    Raises:
        RuntimeError: neither network's first hint convolution is there.
    """
    for name in (OUR_HINT, THEIR_HINT):
        if name in tensors:
            return tensors[name].shape[1]
    raise RuntimeError(f"{source}: holds no whole control branch, {OUR_HINT} is missing")


def to_diffusers(
    control: ControlNet, tensors: Mapping[str, torch.Tensor], source: Path
) -> dict[str, torch.Tensor]:
    """Tensors by diffusers' names from those by ours.

    Args:
        control: a branch of the same architecture, on any device; its weights are not read.
        tensors: without `control_model.` before their names.
        source: the file, for messages.
    Raises:
        RuntimeError: tensors are missing, left over or of another shape; the message names one.
    """
    return _rename(tensors, diffusers_names(control), _shapes(control), source)


def from_diffusers(
    control: ControlNet, tensors: Mapping[str, torch.Tensor], source: Path
) -> dict[str, torch.Tensor]:
    """The inverse of `to_diffusers`; raises like it."""
    names, shapes = diffusers_names(control), _shapes(control)
    inverse = {theirs: ours for ours, theirs in names.items()}
    shapes = {names[ours]: shape for ours, shape in shapes.items()}
    return _rename(tensors, inverse, shapes, source)


def _shapes(control: ControlNet) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in control.state_dict().items()}


def _rename(tensors, names, shapes, source):
    """`tensors` under the names that `names` has for theirs, each of them accounted for."""
    missing = sorted(names.keys() - tensors.keys())
    left_over = sorted(tensors.keys() - names.keys())
    if missing or left_over:
        raise RuntimeError(
            f"{source}: is of another architecture than the model configuration; "
            f"{len(missing)} tensors missing {missing[:2]}, "
            f"{len(left_over)} left over {left_over[:2]}"
        )
    for name, shape in shapes.items():
        if (found := tuple(tensors[name].shape)) != shape:
            raise RuntimeError(f"{source}: {name} is {found}, the model configuration has {shape}")
    return {new: tensors[name] for name, new in names.items()}
