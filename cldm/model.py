"""Builders of models from configurations and checkpoints."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from cldm.configuration import constructor_errors, read_config
from cldm.layer_precision import read_rounded, rounded_names
from cldm.names import AUTOENCODER, CONTROL, EMA, UNET
from core.command_line.options import OptionError
from core.notices import report
from core.weights.checkpoints import SkipInitialisation, load_state_dict, load_strictly, subset
from core.weights.foreign_layouts import load_original
from ldm.util import instantiate_from_config

# The noise schedule is computed from the configuration. A file may carry it, of another
# configuration even, or leave it out.
SCHEDULE = (
    "betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "logvar",
)  # fmt: skip
MAY_BE_LEFT_OVER = (
    *SCHEDULE,
    EMA,  # only the start of a control branch reads them
    f"{AUTOENCODER}loss.",  # the discriminator that trained the autoencoder
    "lvlb_weights",  # weights of a loss that nobody uses
)
FIRST_HINT = f"{CONTROL}input_hint_block.0.weight"


def get_state_dict(d: dict) -> dict:
    """The weights in a checkpoint: its `state_dict`, or the dictionary itself where it has none."""
    return d.get("state_dict", d)


def create_model(config_path: str | Path, *arguments, **options) -> torch.nn.Module:
    """Build the published class that a YAML file names, for notebooks: any Trainer trains it.

    Arguments and errors are those of `build_model`, and so are the networks.
    """
    return build_model(config_path, *arguments, **options, published=True)


def build_model(
    config_path: str | Path,
    weights_path: str | Path | None = None,
    hint_channels: int | None = None,
    new_hint: str | None = None,
    config_overrides: Mapping | None = None,
    base_path: str | Path | None = None,
    layer_dtype: torch.dtype = torch.float32,
    published: bool = False,
) -> torch.nn.Module:
    """Build the model of a YAML file on the CPU, in evaluation mode when it gets weights.

    Args:
        config_path: any configuration of this family, the published ones included.
        weights_path: a complete checkpoint, or beside `base_path` any with a control branch. The
            tensors are mapped from the file, and no weight is initialised first.
        hint_channels: overrides the number of the configuration.
        new_hint: what to do with another number of hint channels in the checkpoint. `random`
            initialises the first hint convolution anew, `zeros` keeps it and adds channels whose
            weights are zero; both print a line. None raises.
        config_overrides: nested dictionaries, or an OmegaConf node, whose values win over those of
            the file: `{"model": {"params": {"scale_factor": 1.0}}}`. Values that refer to an
            overridden one follow it.
        base_path: a Stable Diffusion checkpoint that brings everything but the control branch.
        layer_dtype: type of the weights of linear layers and convolutions. A type of 16 bits is for
            computing under `torch.autocast` in this type, see `cldm.layer_precision`; tensors are
            copied then, not mapped.
        published: as in `read_config`.
    Raises:
        FileNotFoundError, ValueError: as `read_config`, `instantiate_from_config`,
            `load_original`, `read_rounded`.
        OptionError: the file holds a control branch alone, and there is no `base_path`.
        RuntimeError: the checkpoint does not fit the configuration.
    """
    config = read_config(config_path, config_overrides, published)
    with constructor_errors(config_path):
        if hint_channels is not None:
            config["params"]["control_stage_config"]["params"]["hint_channels"] = hint_channels
        if weights_path is None:
            return instantiate_from_config(config)
        read, source = partial(_read_weights, weights_path, base_path), str(weights_path)
        state_dict = read()
        if not base_path and not subset(state_dict, [UNET]) and subset(state_dict, [CONTROL]):
            raise OptionError(
                "base_path",
                f"{weights_path}: holds a control branch alone. Name the Stable Diffusion weights "
                "that it was trained on too.",
            )
        if base_path:
            source = f"{base_path} + {weights_path}"
        with SkipInitialisation():
            model = instantiate_from_config(config)
    if layer_dtype != torch.float32:
        state_dict = read_rounded(read, model, layer_dtype, source)
    load_weights(model, source, state_dict, new_hint, layer_dtype)
    return model.eval()


def _read_weights(path, base_path):
    """Tensors of `path` by name; with a base, its control branch and everything else of the base.

    Either file may be a complete checkpoint with both. What one of them lacks is never taken from
    the other, so the two are what the record of a run says they are.
    """
    state_dict = load_original(path)
    if not base_path:
        return state_dict
    base = load_original(base_path)
    kept = {key: tensor for key, tensor in base.items() if not key.startswith(CONTROL)}
    return {**kept, **subset(state_dict, [CONTROL])}


def create_control(
    config_path: str | Path,
    weights_path: str | Path,
    hint_channels: int,
    layer_dtype: torch.dtype = torch.float32,
) -> torch.nn.Module:
    """The control branch alone, in evaluation mode.

    Nothing but `control_model.*` is taken from the file.

    Args:
        layer_dtype: as in `build_model`.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: as `build_model`; no control branch in it.
    """
    state_dict = load_control(weights_path)
    with SkipInitialisation():
        control = build_control(config_path, hint_channels)
    if layer_dtype != torch.float32:
        read = partial(load_control, weights_path)
        state_dict = read_rounded(read, control, layer_dtype, weights_path)
    load_weights(control, weights_path, state_dict, layer_dtype=layer_dtype)
    return control.eval()


def load_control(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of the control branch in a file, without `control_model.` before their names.

    Raises:
        FileNotFoundError, ValueError: as `load_original`; no control branch in the file.
    """
    state_dict = subset(load_original(path), [CONTROL])
    if not state_dict:
        raise ValueError(f"{path}: holds no control branch (no {CONTROL}* among its tensors)")
    return {key.removeprefix(CONTROL): tensor for key, tensor in state_dict.items()}


def build_control(config_path: str | Path, hint_channels: int) -> torch.nn.Module:
    """The control branch of a YAML file alone, without weights; raises as `build_model`."""
    # A whole model for each branch would take the memory of a U-Net each time.
    params = read_config(config_path)["params"]
    with constructor_errors(config_path):
        config = params["control_stage_config"]
        config["params"]["hint_channels"] = hint_channels
        return instantiate_from_config(config)


def create_first_stage(config_path: str | Path, weights_path: str | Path) -> torch.nn.Module:
    """The autoencoder of a YAML file alone, frozen, with its weights from a complete checkpoint.

    Raises:
        As `build_model`.
    """
    config = read_config(config_path)["params"]["first_stage_config"]
    state_dict = load_autoencoder(weights_path)
    with constructor_errors(config_path), SkipInitialisation():
        model = instantiate_from_config(config)
    load_weights(model, weights_path, state_dict)
    return model.eval().requires_grad_(False)


def load_autoencoder(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of the autoencoder in a file, without `first_stage_model.` before their names.

    Raises:
        FileNotFoundError, ValueError: as `load_original`.
    """
    return {
        key.removeprefix(AUTOENCODER): value
        for key, value in subset(load_original(path), [AUTOENCODER]).items()
        if ".loss." not in key  # the discriminator that trained the autoencoder
    }


def load_weights(
    model: torch.nn.Module,
    path: str | Path,
    state_dict: dict[str, torch.Tensor] | None = None,
    new_hint: str | None = None,
    layer_dtype: torch.dtype = torch.float32,
) -> None:
    """Give `model` the tensors of the checkpoint `path`, layers in `layer_dtype`, else float32.

    Tensors that have this type already are not copied.

    Args:
        state_dict: the file's tensors, where they were read before.
        new_hint, layer_dtype: as in `build_model`.
    Raises:
        RuntimeError, ValueError: as `load_strictly`. The schedule may be missing, and tensors that
            only other programs read may be left over. A model with control refuses a base, and a
            branch weights for hints of another number of channels.
    """
    state_dict = dict(load_state_dict(path) if state_dict is None else state_dict)
    if subset(model.state_dict(), [CONTROL]) and subset(state_dict, [UNET]):
        if not subset(state_dict, [CONTROL]):
            raise ValueError(
                f"{path}: a base without a control branch. README.md shows, under Weights, how to "
                "make starting weights of a base."
            )
    if new_hint and FIRST_HINT in model.state_dict() and FIRST_HINT in state_dict:
        _fit_first_hint(model, path, state_dict, new_hint)
    _check_hint_channels(model, path, state_dict)
    addresses = set()  # of the first bytes of tensors that are in use
    layers = rounded_names(model)
    for key, value in state_dict.items():
        if value.is_floating_point():
            value = value.to(layer_dtype if key in layers else torch.float32)
        if value.data_ptr() in addresses and not value.is_meta:
            # One tensor under two names (control branch and U-Net): each is trained for itself.
            value = value.clone()
        addresses.add(value.data_ptr())
        state_dict[key] = value
    load_strictly(model, state_dict, path, SCHEDULE, MAY_BE_LEFT_OVER)


def _check_hint_channels(model, path, state_dict):
    """Raise ValueError where a branch was trained for hints of another number of channels."""
    own = model.state_dict()
    for name in {FIRST_HINT, FIRST_HINT.removeprefix(CONTROL)} & own.keys() & state_dict.keys():
        (_, expected, *_), shape = own[name].shape, state_dict[name].shape
        if len(shape) == 4 and shape[1] != expected:
            raise ValueError(
                f"{path}: its control branch reads hints of {shape[1]} channels, expected "
                f"{expected}. If they are masks, give --num_classes {shape[1]}; else it is of "
                "another condition."
            )


def _fit_first_hint(model, path, state_dict, new_hint):
    """Make the first hint convolution in `state_dict` fit the model's number of hint channels."""
    convolution, trained = model.control_model.input_hint_block[0], state_dict[FIRST_HINT]
    expected, found = convolution.in_channels, trained.shape[1]
    if found == expected:
        return
    if new_hint == "zeros" and found < expected:
        # What the branch has learned stays, and the new channels learn from nothing.
        added = trained.new_zeros(len(trained), expected - found, *trained.shape[2:])
        state_dict[FIRST_HINT] = torch.cat([trained, added], dim=1)
        done = (
            f"{expected - found} channels with weights of zero are added to "
            f"{CONTROL}input_hint_block.0"
        )
    else:
        # `SkipInitialisation` may have left it unset. Of a fixed seed: the same weights and options
        # start the same training.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            convolution.reset_parameters()
        state_dict[FIRST_HINT] = convolution.weight.detach()
        state_dict[FIRST_HINT.replace("weight", "bias")] = convolution.bias.detach()
        done = f"{CONTROL}input_hint_block.0 is initialised anew"
    report(f"{path}: made for {found} hint channels, expected {expected}: {done}")
