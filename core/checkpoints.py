"""Weights in and out of files: nothing runs that a file brings along, no tensor goes missing in silence."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from core.files import whole_file

MAX_NESTING = 8  # of a `state_dict` inside a `state_dict`; a file can hold itself


WEIGHT_SUFFIXES = (".ckpt", ".pth", ".pt", ".safetensors")


# What a checkpoint may lack or carry without a word; everything else is an error that names the tensors.
MAY_BE_MISSING = (
    "betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "logvar",  # the schedule, computed from the configuration
)  # fmt: skip


MAY_BE_LEFT_OVER = (
    "model_ema.",  # averaged copies of the U-Net; tool_add_control.py --use_ema reads them
    "first_stage_model.loss.",  # the discriminator that trained the autoencoder
    "lvlb_weights",  # weights of a loss that nobody uses
    "betas", "alphas_cumprod", "sqrt_", "log_one_minus_", "posterior_", "logvar",  # schedule of another configuration
)  # fmt: skip


# Classes that trainers leave beside the weights; each is replaced by an empty stand-in, never imported.
TRAINER_PACKAGES = (
    "pytorch_lightning.", "lightning.", "lightning_fabric.", "lightning_utilities.", "torchmetrics.", "omegaconf.", "numpy.",
)  # fmt: skip


TRAINER_CLASSES = (
    "argparse.Namespace", "collections.defaultdict", "pathlib.PosixPath", "typing.Any", "_codecs.encode",
    "builtins.dict", "builtins.list", "builtins.tuple", "builtins.str", "builtins.int", "builtins.float", "builtins.bool",
)  # fmt: skip


TRAINER_DICTIONARIES = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


class Inert:
    """Stands for an object of a trainer that a checkpoint carries: takes anything, does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass

    def __hash__(self):
        return 0  # old trainers use their callback classes and objects as keys


class InertDictionary:
    """Stands for a trainer's kind of dictionary: torch fills none but its own kinds, so one of those is made."""

    def __new__(cls, *args, **kwargs):
        return OrderedDict()


class RunsCode(ValueError):
    """A file that asks to run code on loading."""

    def __init__(self, path, names=()):
        named = f" ({', '.join(sorted(names)[:3])})" if names else ""
        super().__init__(
            f"{path}: refused, loading it would run code of the file's choice{named}. Ask its author for a .safetensors file."
        )


class SkipInitialisation(TorchFunctionMode):
    """Leaves new parameters as the memory they were given: a checkpoint is about to replace them."""

    FILLS = {
        torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_,
        torch.nn.init.kaiming_uniform_, torch.nn.init.normal_, torch.nn.init.uniform_, torch.nn.init.zeros_,
    }  # fmt: skip

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.FILLS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def load_state_dict(path: str | Path, location: str = "cpu") -> dict[str, torch.Tensor]:
    """Tensors of a .ckpt, .pth, .pt or .safetensors file by name, mapped from the file where its format allows.

    Nested files (`state_dict` inside) are unwrapped. Only tensors come out: the objects that trainers leave beside them
    are read as empty stand-ins.

    Raises:
        FileNotFoundError: no such file.
        ValueError: truncated, not a checkpoint, or asks to run code on loading (nothing of it has run then).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        content = _read_safetensors(path, location)
    else:
        content = load_pickle(path, location)
    for _ in range(MAX_NESTING):
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
    tensors = (
        {key: value for key, value in content.items() if torch.is_tensor(value)}
        if isinstance(content, dict)
        else {}
    )
    if not tensors:
        raise ValueError(f"{path}: holds no tensors by name, so it is no checkpoint of a model")
    return tensors


def _read_safetensors(path, location):
    try:
        with safetensors.safe_open(path, framework="pt", device=location) as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be read as safetensors ({error}). It may be truncated; download or copy it again."
        ) from error


def load_pickle(path: Path, location: str) -> dict:
    """Whole content of a file that torch.save wrote; raises like `load_state_dict`."""
    try:
        is_zip = zipfile.is_zipfile(path)
        stand_ins = _stand_ins(path) if is_zip else []
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(
                path, map_location=location, weights_only=True, mmap=True if is_zip else None
            )
    except RunsCode:
        raise
    except Exception as error:  # a damaged file makes the reader raise anything
        reason = " ".join(str(error).split())
        if isinstance(error, pickle.UnpicklingError) and any(
            words in reason for words in ("Unsupported global", "Trying to ")
        ):
            raise RunsCode(path) from error
        if isinstance(error, pickle.UnpicklingError):
            reason = "not one, or damaged"  # torch's own text advises to let the file run its code
        reason = reason or type(error).__name__
        raise ValueError(
            f"{path}: cannot be read as a checkpoint ({reason}). Download or copy it again."
        ) from error


def _stand_ins(path):
    """Empty classes for the trainer's objects that the file names; refuses a file that names anything else."""
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    refused = [
        name
        for name in names
        if not name.startswith(TRAINER_PACKAGES) and name not in TRAINER_CLASSES
    ]
    if refused:
        raise RunsCode(path, refused)
    bases = [InertDictionary if name in TRAINER_DICTIONARIES else Inert for name in names]
    return [
        (type(f"Inert_{i}", (base,), {}), name)
        for i, (name, base) in enumerate(zip(names, bases, strict=True))
    ]


def load_weights(
    model: torch.nn.Module,
    path: str | Path,
    state_dict: dict[str, torch.Tensor] | None = None,
    new_hint: str | None = None,
) -> None:
    """Give `model` the tensors of the checkpoint `path`, taking their memory as it is; account for every name.

    Args:
        state_dict: the file's tensors, where they were read before.
        new_hint: as in `create_model`.
    Raises:
        RuntimeError: tensors are missing, left over or of another shape; the message names the first of each.
    """
    state_dict = dict(load_state_dict(path) if state_dict is None else state_dict)
    own = model.state_dict()
    for key in [key for key in state_dict if key.startswith(MAY_BE_LEFT_OVER)]:
        del state_dict[key]
    first_hint = "control_model.input_hint_block.0.weight"
    if new_hint and first_hint in own and first_hint in state_dict:
        _fit_first_hint(model, path, state_dict, first_hint, new_hint)
    wrong = [key for key in own if key in state_dict and own[key].shape != state_dict[key].shape]
    if wrong:
        example = f"{wrong[0]} {tuple(state_dict[wrong[0]].shape)} instead of {tuple(own[wrong[0]].shape)}"
        raise RuntimeError(
            f"{path}: made for another architecture; {len(wrong)} tensors of another shape, such as {example}. Check the configuration."
        )
    memory = set()
    for key, value in state_dict.items():
        value = value.float() if value.is_floating_point() else value
        if value.data_ptr() in memory:
            value = (
                value.clone()
            )  # one tensor under two names (control branch and U-Net): each is trained for itself
        memory.add(value.data_ptr())
        state_dict[key] = value
    missing, unexpected = model.load_state_dict(state_dict, strict=False, assign=True)
    missing = [key for key in missing if not key.startswith(MAY_BE_MISSING)]
    if missing or unexpected:
        raise RuntimeError(
            f"{path}: does not fit the configuration; {len(missing)} tensors missing {missing[:3]}, "
            f"{len(unexpected)} left over {unexpected[:3]}"
        )


def _fit_first_hint(model, path, state_dict, key, new_hint):
    """Make the first hint convolution in `state_dict` fit the model's number of hint channels; see `create_model`."""
    convolution, trained = model.control_model.input_hint_block[0], state_dict[key]
    expected, found = convolution.in_channels, trained.shape[1]
    if found == expected:
        return
    if new_hint == "zeros" and found < expected:
        state_dict[key] = torch.cat(
            [trained, trained.new_zeros(len(trained), expected - found, *trained.shape[2:])], dim=1
        )
        done = f"{expected - found} channels with weights of zero are added to control_model.input_hint_block.0"
    else:
        convolution.reset_parameters()
        state_dict[key], state_dict[key.replace("weight", "bias")] = (
            convolution.weight.detach(),
            convolution.bias.detach(),
        )
        done = "control_model.input_hint_block.0 is initialised anew"
    print(f"{path}: made for {found} hint channels, expected {expected}: {done}")


def save_weights(
    state_dict: dict[str, torch.Tensor], path: str | Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name, `.safetensors` or a checkpoint with `state_dict` inside; the file is whole or not there.

    Raises:
        ValueError: another suffix.
        OSError: the file cannot be written or the disk is full.
    """
    path = Path(path)
    if path.suffix not in WEIGHT_SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(WEIGHT_SUFFIXES)}")
    with whole_file(path) as temporary:
        try:
            if path.suffix == ".safetensors":
                save_file(
                    {key: value.contiguous() for key, value in state_dict.items()},
                    temporary,
                    metadata,
                )
            else:
                torch.save({"state_dict": dict(state_dict)}, temporary)
        except (
            RuntimeError,
            safetensors.SafetensorError,
        ) as error:  # how both writers report a full disk
            raise OSError(
                f"{path}: could not be written ({str(error).splitlines()[0]}). Is the disk full?"
            ) from error


def subset(state_dict: dict[str, torch.Tensor], prefixes: Iterable[str]) -> dict[str, torch.Tensor]:
    """The entries whose names start with one of `prefixes`."""
    return {key: value for key, value in state_dict.items() if key.startswith(tuple(prefixes))}
