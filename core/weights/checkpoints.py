"""Weights in and out of files: loading runs no code, and no tensor is lost unnoticed."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from core.files import whole_file
from core.notices import notify
from core.weights.torch_files import load_pickle
from core.weights.weight_files import (
    WEIGHT_SUFFIXES,
    check_weights_file,
    is_safetensors,
    open_safetensors,
)
from core.weights.weights_in_use import note_weights

# Where trainers put the weights beside other things.
WRAPPERS = ("state_dict", "model_state_dict", "model")
# One in another; the bound ends the search in a file that holds itself.
MAX_NESTING = 8
# Types that networks compute with; counters and places, which are no weights, are whole numbers.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int32, torch.int64, torch.bool)
# Zeros in a row at one end of a tensor, and none at the other, that no training leaves.
GAP = 2**14


class SkipInitialisation(TorchFunctionMode):
    """Context in which layers leave their new parameters unset: a checkpoint will replace them.

    Drawing the initial weights of SD 1.5 takes longer than reading its checkpoint.
    """

    INITIALISERS = {
        torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_,
        torch.nn.init.kaiming_uniform_, torch.nn.init.normal_,
        torch.nn.init.uniform_, torch.nn.init.zeros_,
    }  # fmt: skip

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.INITIALISERS:  # all return the tensor that they fill
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def load_state_dict(path: str | Path, location: str = "cpu") -> dict[str, torch.Tensor]:
    """Tensors of a file of torch or of safetensors by name.

    A file of safetensors is told by its content, whatever its name.

    They are mapped from the file where its format allows. Of a file with some of `WRAPPERS`, the
    part with the most tensors is taken. Objects that trainers leave beside them are left out.

    Torch files are compared with their checksums, see `core.weights.torch_files.check_archive`. A
    .safetensors file has none: a flipped bit in it shows only where somebody recorded the hash of
    the whole file. There is a warning of weights of which one end is zero.

    Args:
        location: device to load to, as torch names it.
    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder, or the file is truncated, no checkpoint, quantised, or asks to run
            code on loading; none of its code has run.
    """
    path = Path(path)
    check_weights_file(path)
    note_weights(path)
    if is_safetensors(path):
        with open_safetensors(path, "pt", location) as file:
            content = {key: file.get_tensor(key) for key in file.keys()}
    else:
        content = load_pickle(path, location)
    content = _unwrapped(content)
    tensors = _tensors_of(content)
    if not tensors:
        raise ValueError(
            f"{path}: holds no tensors by name, so it is no checkpoint of a model{_parts(content)}"
        )
    _refuse_unusable(tensors, path)
    _notify_of_gaps(tensors, path)
    return tensors


def _unwrapped(content, depth: int = MAX_NESTING):
    """A content, or what it holds under one of `WRAPPERS`: that with the most tensors."""
    if depth == 0 or not isinstance(content, dict):
        return content
    parts = (content.get(name) for name in WRAPPERS)
    # Lightning nests once, programs that save again may nest deeper.
    inner = [_unwrapped(part, depth - 1) for part in parts if isinstance(part, dict)]
    # The others are options, or counters beside the weights; the first of equals counts.
    return max([*inner, content], key=lambda part: len(_tensors_of(part)))


def _tensors_of(content) -> dict[str, torch.Tensor]:
    """The tensors of a dictionary by name; none of anything else."""
    items = content.items() if isinstance(content, dict) else ()
    return {key: value for key, value in items if torch.is_tensor(value)}


def _parts(content) -> str:
    """Names under which a dictionary holds tensors, with advice; empty where there are none."""
    items = content.items() if isinstance(content, dict) else ()
    names = [repr(key) for key, part in items if _tensors_of(part)]
    if not names:
        return ""
    return (
        f". Tensors lie under {', '.join(names[:3])}: save the part with the weights in "
        "a file of its own"
    )


def _refuse_unusable(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raise ValueError where a tensor is of a type that no network computes with as it is."""
    for name, tensor in tensors.items():
        # Quantised weights have their scales elsewhere, in as many ways as there are programs.
        # Without them the numbers fit every layer and mean nothing.
        is_weight = name.rpartition(".")[2] in ("weight", "bias")
        allowed = FLOATS if is_weight else FLOATS + WHOLE
        kinds = [tensor.dtype] if tensor.dtype not in allowed else []
        kinds += [tensor.layout] if tensor.layout != torch.strided else []
        kinds += [tensor.device] if tensor.is_meta else []  # a name without any numbers
        if kinds:
            raise ValueError(
                f"{path}: is quantised or holds no weights, as {name} is "
                f"{str(kinds[0]).removeprefix('torch.')}. Take the file in fp16, bf16 or fp32."
            )


def _notify_of_gaps(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Warn of weights of which one end is zero, as programs leave it where a download ended."""
    for name, tensor in tensors.items():
        if not name.endswith(".weight") or "embed" in name:  # words that nobody uses may be zero
            continue
        flat = tensor.flatten()
        if len(flat) >= 2 * GAP and bool(flat[:GAP].any()) != bool(flat[-GAP:].any()):
            notify(
                f"{path}: one end of {name} is zero, perhaps because the file was downloaded in "
                "part. Compare its SHA-256 with the published one."
            )
            return


def check_finite(tensors: Mapping[str, torch.Tensor], source: str | Path) -> None:
    """Refuse weights with NaN or infinity, from which a network draws black pictures.

    The sum of a tensor is finite where all its values are. On one core it takes 0.2 s for 1 GB of
    float32, `isfinite` 4.6 s.

    Args:
        source: the file, for messages.
    Raises:
        ValueError: a value is not finite; the message names its tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.is_meta:
            continue
        # 16-bit sums are rounded to 16 bits, and float16 ends at 65504.
        total = tensor.sum() if tensor.itemsize >= 4 else tensor.float().sum()
        # A sum of finite values can overflow, so a second look decides.
        if not total.isfinite() and not tensor.isfinite().all():
            raise ValueError(
                f"{source}: {name} holds values that are NaN or infinite. The training that wrote "
                "it diverged, or the file is damaged; take an earlier checkpoint."
            )


def load_strictly(
    model: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: str | Path,
    may_be_missing: tuple[str, ...] = (),
    may_be_left_over: tuple[str, ...] = (),
) -> None:
    """Give `model` these tensors and account for every name.

    The tensors become the parameters and buffers themselves (`assign=True`): they keep their type,
    device and memory, so a mapped file is not copied. What may be missing keeps its present value.

    Args:
        tensors: by the model's names; the mapping is not changed.
        source: the file, for messages.
        may_be_missing, may_be_left_over: beginnings of names that are no error.
    Raises:
        RuntimeError: tensors are missing, left over or of another shape; the message names the
            first of each.
        ValueError: as `check_finite`.
    """
    tensors = {key: value for key, value in tensors.items() if not key.startswith(may_be_left_over)}
    own = model.state_dict()
    # Checked here: `strict=False` below forgives missing keys, but not a shape, and its message
    # about shapes does not name the file.
    wrong = [key for key in own if key in tensors and own[key].shape != tensors[key].shape]
    if wrong:
        found, expected = tuple(tensors[wrong[0]].shape), tuple(own[wrong[0]].shape)
        raise RuntimeError(
            f"{source}: made for another architecture; {len(wrong)} tensors of another shape, "
            f"such as {wrong[0]} {found} instead of {expected}. Check that the file and the "
            "configuration belong together."
        )
    check_finite(tensors, source)
    # Without the layers' versions torch takes the tensors for those of its first releases, and
    # fills in the counters that batch norms lacked then.
    versioned = OrderedDict(tensors)
    versioned._metadata = own._metadata
    # The model's own hooks may rename tensors while loading, so torch says what is missing.
    missing, left_over = model.load_state_dict(versioned, strict=False, assign=True)
    missing = [key for key in missing if not key.startswith(may_be_missing)]
    if missing or left_over:
        raise RuntimeError(
            f"{source}: does not fit {type(model).__name__}; "
            f"{len(missing)} tensors missing {missing[:3]}, "
            f"{len(left_over)} left over {left_over[:3]}. Check that the file and the "
            "configuration belong together."
        )


def save_weights(
    state_dict: dict[str, torch.Tensor], path: str | Path, notes: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name; the file is whole or not there.

    Args:
        path: ends in `.safetensors`, or in another of `WEIGHT_SUFFIXES` for a torch file that keeps
            the tensors under `state_dict`.
        notes: texts by name that a .safetensors file carries; others have no place for them.
    Raises:
        ValueError: another suffix.
        OSError: the file cannot be written or the disk is full.
    """
    path = Path(path)
    if path.suffix not in WEIGHT_SUFFIXES:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(WEIGHT_SUFFIXES)}")
    if path.suffix != ".safetensors":
        save_torch({"state_dict": dict(state_dict)}, path)
        return
    # safetensors refuses tensors whose memory is not in order, such as transposed ones.
    tensors = {key: value.contiguous() for key, value in state_dict.items()}
    with _whole_file_or_oserror(path) as temporary:
        save_file(tensors, temporary, metadata=dict(notes) if notes else None)


def save_torch(content: object, path: str | Path) -> None:
    """Write anything that `torch.save` takes; the file is whole or not there.

    Raises:
        OSError: the file cannot be written or the disk is full.
    """
    with _whole_file_or_oserror(path) as temporary:
        torch.save(content, temporary)


@contextmanager
def _whole_file_or_oserror(path: str | Path) -> Iterator[Path]:
    """`whole_file` for a writer that reports a full disk in a way of its own."""
    with whole_file(path) as temporary:
        try:
            yield temporary
        except (RuntimeError, safetensors.SafetensorError) as error:
            raise OSError(
                f"{path}: could not be written ({str(error).splitlines()[0]}). Is the disk full?"
            ) from error


def subset(state_dict: dict[str, torch.Tensor], prefixes: Iterable[str]) -> dict[str, torch.Tensor]:
    """Entries whose names start with one of `prefixes`."""
    return {key: value for key, value in state_dict.items() if key.startswith(tuple(prefixes))}
